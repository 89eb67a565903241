"""What a worker keeps of the runs that wait, and when it does not count."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import Fate, World
from support.running import Running

from runner import suspended
from runner.executor import Executor
from runner.state import RunState
from runner.suspended import Suspended
from schemas.pattern import Node, Pattern
from store.leases import ClaimedRun


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> RunState:
    """A run that waits, as its worker left it under lease 1."""
    monkeypatch.setattr(suspended, "LEAST", 0)
    seen: list[RunState] = []
    leave = Suspended.leave
    monkeypatch.setattr(Suspended, "leave", lambda self, run: (seen.append(run), leave(self, run)))
    nodes = (
        Node(id="a", uses="set", with_={"text": "x" * 1000}),
        Node(id="b", uses="delay", with_={"for": "5s"}),
    )
    World(Pattern(name="p", nodes=nodes, timeout=1e9), Fate()).run()
    [run] = seen
    return run


def keep(run: RunState, *, written: bool = True) -> Suspended:
    kept = Suspended()
    kept.leave(run)
    kept.settle([(run.claimed.id, written)])
    return kept


def next_lease(run: RunState, **changes: Any) -> list[ClaimedRun]:
    return [run.claimed._replace(**{"lease": run.claimed.lease + 2, **changes})]


def test_a_run_is_taken_up_once_as_it_was_left(left: RunState) -> None:
    kept = keep(left)
    assert kept.take(next_lease(left)) == {left.claimed.id: left}
    assert kept.take(next_lease(left)) == {}


@pytest.mark.parametrize("changes", [{"lease": 4}, {"lease": 2}, {"attempt": 2}, {"id": "another"}])
def test_not_if_somebody_else_had_it_since(left: RunState, changes: dict[str, Any]) -> None:
    assert keep(left).take(next_lease(left, **changes)) == {}


def test_not_if_its_last_step_was_not_written(left: RunState) -> None:
    assert keep(left, written=False).take(next_lease(left)) == {}


def test_not_before_its_last_step_is_written(left: RunState) -> None:
    kept = Suspended()
    kept.leave(left)
    assert kept.take(next_lease(left)) == {}


def test_a_short_journal_is_read(left: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspended, "LEAST", 3)
    assert (left.rows, keep(left).take(next_lease(left))) == (2, {})


def test_those_used_last_are_kept(left: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1000 < left.size < 1100
    monkeypatch.setattr(suspended, "MOST", 1500)
    kept = keep(left)
    other = RunState(left.claimed._replace(id="other"), left.context, left.control, ())
    other.rows, other.size = 2, 1000
    kept.leave(other)
    kept.settle([("other", True)])
    assert kept.take(next_lease(left)) == {}
    assert kept.take(next_lease(other)) == {"other": other}


def test_rows_weigh_also_where_they_gave_nothing(left: RunState, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspended, "MOST", left.size + 2 * suspended.ROW)
    assert keep(left).take(next_lease(left)) == {left.claimed.id: left}
    left.rows += 1
    assert keep(left).take(next_lease(left)) == {}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each run that is claimed, whether it is taken up as it was left."""
    monkeypatch.setattr(suspended, "LEAST", 0)
    found: list[bool] = []
    take_up = Executor._take_up

    def watch(self: Executor, claimed: ClaimedRun, control: Any, known: Any) -> RunState:
        found.append(isinstance(known, RunState))
        return take_up(self, claimed, control, known)

    monkeypatch.setattr(Executor, "_take_up", watch)
    return found


def test_a_worker_goes_on_with_what_it_left(service: Running, taken: list[bool]) -> None:
    child = service.deploy("child", [{"id": "one", "uses": "set", "with": {"n": "${{ input * 2 }}"}}])
    loop = {
        "id": "each",
        "uses": "for-each",
        "items": "${{ range(4) }}",
        "do": [{"id": "call", "uses": "call", "with": {"pattern": "child", "input": "${{ item }}"}}],
    }
    wait = {"id": "wait", "uses": "delay", "with": {"for": "100ms"}}
    last = {"id": "all", "uses": "set", "with": {"n": "${{ nodes.each }}"}}
    service.deploy("parent", [loop, wait, last], calls={"child": child})
    run = service.start("parent", ring=True)
    assert service.wait(run)["output"] == {"n": [{"n": 0}, {"n": 2}, {"n": 4}, {"n": 6}]}
    assert sum(taken) >= 4
