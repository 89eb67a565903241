"""A run's rows from acceptance to end, on a real PostgreSQL."""

import itertools
import re
from typing import Any

import pytest
from store_rows import deploy

from store import journal, leases, live, runs, spans, wakeups
from store.database import Connection
from store.ids import new_id
from store.journal import ChildRun, Step
from store.leases import ClaimedRun
from store.runs import NewRun, RunStatus
from store.spans import Span, SpanStatus


def accept(connection: Connection, deployment: int = 1) -> str:
    run = NewRun(id=new_id(), deployment_id=deployment, kind="webhook", trigger='{"body": {"total": 7}}')
    assert runs.accept(connection, [run]) == {run.id}
    return run.id


def claim(connection: Connection, run: str, worker: str = "w1") -> ClaimedRun:
    [claimed] = leases.claim(connection, worker, [run])
    return claimed


def step(run: ClaimedRun, status: RunStatus, **fields: Any) -> Step:
    return Step(
        run_id=run.id, lease=run.lease, status=status, attempt=run.attempt, span_attempt=run.attempt,
        parent_id=run.parent_id, **fields,
    )  # fmt: skip


def span(path: str, status: SpanStatus = SpanStatus.COMPLETED, **fields: Any) -> Span:
    return Span(path, status, 1, 1.0, 2.0, **fields)


def status(connection: Connection, run: str) -> str:
    row = connection.execute("SELECT status FROM runs WHERE id = %s", [run]).fetchone()
    assert row is not None
    return str(row[0])


def test_a_run_is_bound_to_the_version_that_is_live_when_it_is_accepted(connection: Connection) -> None:
    first = accept(connection)
    deploy(connection, "order-intake", version="v2")
    second = accept(connection)
    assert [claim(connection, run).version_id for run in (first, second)] == ["v1", "v2"]


@pytest.mark.parametrize("state", ["paused", "archived", "undeployed"])
def test_a_deployment_that_is_not_active_accepts_nothing(connection: Connection, state: str) -> None:
    active = accept(connection)
    deployment = deploy(connection, "closed", version="v1", state=state)
    refused = NewRun(id=new_id(), deployment_id=deployment, kind="webhook", trigger="{}")
    taken = NewRun(id=new_id(), deployment_id=1, kind="webhook", trigger="{}")
    assert runs.accept(connection, [refused, taken]) == {taken.id}
    assert status(connection, active) == "pending"


def test_only_one_worker_claims_a_run(connection: Connection) -> None:
    run = accept(connection)
    assert claim(connection, run).trigger == {"body": {"total": 7}}
    assert leases.claim(connection, "w2", [run]) == []


def test_claims_keep_the_order_in_which_they_were_asked_for(connection: Connection) -> None:
    ids = [accept(connection) for _ in range(20)]
    assert [run.id for run in leases.claim(connection, "w1", ids[::-1])] == ids[::-1]


def test_the_journal_is_read_back_by_whoever_goes_on_with_the_run(connection: Connection) -> None:
    run = claim(connection, accept(connection))
    entries = [span("a", output='{"x": "\\u0000"}'), span("b", SpanStatus.FAILED, error='{"type": "t"}')]
    assert journal.record(connection, [step(run, RunStatus.RUNNING, spans=entries)])[0].kept
    [a, b] = spans.read(connection, [(run.id, 1)])[run.id]
    assert (a.path, a.status, a.output) == ("a", "completed", {"x": "\x00"})
    assert (b.path, b.status, b.error) == ("b", "failed", {"type": "t"})


def test_a_worker_that_lost_its_lease_writes_neither_the_run_nor_its_journal(connection: Connection) -> None:
    lost = claim(connection, accept(connection))
    assert leases.free(connection, ["w1"]) == [lost.id]
    held = claim(connection, lost.id, "w2")
    assert not journal.record(connection, [step(lost, RunStatus.COMPLETED, spans=[span("a")])])[0].kept
    assert status(connection, lost.id) == "running"
    assert spans.read(connection, [(lost.id, 1)])[lost.id] == []
    assert journal.record(connection, [step(held, RunStatus.COMPLETED)])[0].kept
    assert status(connection, lost.id) == "completed"


def test_a_lost_step_does_not_hinder_its_neighbours(connection: Connection) -> None:
    kept, lost = claim(connection, accept(connection)), claim(connection, accept(connection))
    lost = lost._replace(lease=99)
    outcomes = journal.record(connection, [step(lost, RunStatus.COMPLETED), step(kept, RunStatus.COMPLETED)])
    assert [outcome.kept for outcome in outcomes] == [False, True]


def test_a_called_run_that_ends_wakes_its_caller(connection: Connection) -> None:
    parent = claim(connection, accept(connection))
    child = ChildRun(
        id=new_id(), version_id="v1", pattern="p", trigger="{}", input='{"a": 1}', parent_path="call"
    )
    waiting = span("call", SpanStatus.WAITING, child=child.id)
    [outcome] = journal.record(
        connection, [step(parent, RunStatus.WAITING, spans=[waiting], children=[child])]
    )
    assert outcome.ring == (child.id,)
    claimed = claim(connection, child.id)
    assert (claimed.parent_id, claimed.root_id, claimed.depth, claimed.input) == (
        parent.id, parent.id, 1, {"a": 1},
    )  # fmt: skip
    [outcome] = journal.record(connection, [step(claimed, RunStatus.COMPLETED, output='"done"')])
    assert outcome.ring == (parent.id,)
    again = claim(connection, parent.id)
    [entry] = spans.read(connection, [(again.id, 1)])[again.id]
    assert (entry.child_status, entry.child_output) == ("completed", "done")


def test_a_caller_still_at_work_does_not_sleep_over_its_child_s_end(connection: Connection) -> None:
    parent = claim(connection, accept(connection))
    child = ChildRun(id=new_id(), version_id="v1", pattern="p", trigger="{}", input="{}", parent_path="call")
    journal.record(connection, [step(parent, RunStatus.RUNNING, children=[child])])
    [outcome] = journal.record(connection, [step(claim(connection, child.id), RunStatus.FAILED)])
    assert outcome.ring == ()
    [outcome] = journal.record(connection, [step(parent, RunStatus.WAITING)])
    assert outcome.ring == (parent.id,)
    assert status(connection, parent.id) == "pending"


def test_a_timer_wakes_its_run_when_it_is_due_and_not_before(connection: Connection) -> None:
    soon, late = claim(connection, accept(connection)), claim(connection, accept(connection))
    steps = [
        step(soon, RunStatus.WAITING, due=soon.now - 1),
        step(late, RunStatus.WAITING, due=late.now + 60),
    ]
    journal.record(connection, steps)
    assert wakeups.wake_due(connection) == [soon.id]
    assert 50 < (wakeups.next_timer(connection) or 0) <= 60


def crash(connection: Connection, run: str, times: int) -> None:
    for nth in range(times):
        assert leases.claim(connection, f"crash-{nth}", [run], alone=True)
        assert leases.free(connection, [f"crash-{nth}"]) == [run]


def test_a_third_crash_alone_makes_a_run_a_dead_letter_and_wakes_its_caller(connection: Connection) -> None:
    parent = claim(connection, accept(connection))
    child = ChildRun(id=new_id(), version_id="v1", pattern="p", trigger="{}", input="{}", parent_path="call")
    journal.record(connection, [step(parent, RunStatus.WAITING, children=[child])])
    crash(connection, child.id, leases.SUSPECT)
    leases.claim(connection, "alone", [child.id], alone=True)
    assert leases.free_alone(connection, "alone") == [parent.id]
    assert status(connection, child.id) == "dead_letter"


def test_a_suspect_is_claimed_by_nobody_who_has_others_in_hand(connection: Connection) -> None:
    suspect, other = accept(connection), accept(connection)
    crash(connection, suspect, leases.SUSPECT - 1)
    assert leases.suspects(connection, [suspect, other]) == []
    crash(connection, suspect, 1)
    assert [run.id for run in leases.claim(connection, "w", [suspect, other])] == [other]
    assert leases.suspects(connection, [suspect, other]) == [suspect]


def test_crashes_in_company_or_of_machines_make_no_dead_letter(connection: Connection) -> None:
    run = accept(connection)
    crash(connection, run, 10)
    leases.claim(connection, "alone", [run], alone=True)
    connection.execute("UPDATE runs SET due_at = now() - interval '1 second'")
    assert leases.free_expired(connection) == [run]
    assert status(connection, run) == "pending"


def test_an_expired_lease_is_freed_and_a_renewed_one_is_not(connection: Connection) -> None:
    stale, fresh = claim(connection, accept(connection)), claim(connection, accept(connection))
    connection.execute("UPDATE runs SET due_at = now() - interval '1 second'")
    assert leases.renew(connection, [(fresh.id, fresh.lease), (stale.id, 99)]) == {fresh.id: False}
    assert leases.free_expired(connection) == [stale.id]


def test_cancelling_reaches_the_called_runs_and_wakes_what_sleeps(connection: Connection) -> None:
    parent = claim(connection, accept(connection))
    child = ChildRun(id=new_id(), version_id="v1", pattern="p", trigger="{}", input="{}", parent_path="call")
    journal.record(connection, [step(parent, RunStatus.WAITING, children=[child])])
    assert sorted(wakeups.cancel(connection, parent.id) or []) == sorted([parent.id, child.id])
    assert claim(connection, child.id).cancelled
    journal.record(connection, [step(claim(connection, parent.id), RunStatus.CANCELLED)])
    assert wakeups.cancel(connection, parent.id) is None


def test_pending_runs_are_rung_again_when_nobody_came_in_time(connection: Connection) -> None:
    run = accept(connection)
    assert wakeups.unclaimed(connection) == []
    connection.execute("UPDATE runs SET due_at = now() - interval '1 second'")
    assert wakeups.unclaimed(connection, patience=60) == []
    assert wakeups.unclaimed(connection) == [run]
    assert wakeups.unclaimed(connection) == []


def test_all_pending_runs_are_found_when_the_broker_forgot(connection: Connection) -> None:
    claim(connection, accept(connection))
    pending = [accept(connection) for _ in range(5)]
    assert [run for batch in wakeups.all_pending(connection, 2) for run in batch] == pending


HOT = {
    "accept": runs.ACCEPT.sql,
    "claim": leases.CLAIM.sql,
    "record": journal.RECORD.sql,
    "record-spans": journal.RECORD_SPANS.sql,
    "record-span": journal.RECORD_SPAN.sql,
    "show": live.SHOW.sql,
    "renew": leases._RENEW.decode(),
}


@pytest.mark.parametrize("name", HOT)
def test_hot_statements_find_rows_by_key_even_when_planned_on_an_empty_table(
    connection: Connection, name: str
) -> None:
    numbers = itertools.count(1)
    sql = re.sub(r"%[sb]", lambda _: f"${next(numbers)}", HOT[name])
    connection.execute(f"PREPARE hot AS {sql}".encode())
    nulls = ", ".join(["NULL"] * max(int(number) for number in re.findall(r"\$(\d+)", sql)))
    plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN EXECUTE hot ({nulls})".encode()))
    scans = [line for line in plan.splitlines() if "Scan" in line and " on runs" in line]
    assert scans or name == "accept", plan
    assert not any("Seq Scan" in line for line in scans), plan
    assert plan.count("Index Cond") >= len([line for line in scans if "Bitmap Heap" not in line]), plan
