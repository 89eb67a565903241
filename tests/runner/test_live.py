"""What is written of nodes at work comes before what is written of their end, and only where somebody watches."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from running import Running

from runner import hands
from runner.hands import Hands
from runner.live import Live, NodeAtWork
from store import live
from store.database import StoreUnavailable
from store.leases import ClaimedRun
from store.spans import Span

PRINTS = """
import time
def main(value):
    for n in range(3):
        print(n)
        time.sleep(0.06)
    return value
"""


def claimed(run: str) -> ClaimedRun:
    fields = {"id": run, "lease": 1, "attempt": 2}
    return ClaimedRun(**{name: fields.get(name) for name in ClaimedRun._fields})  # type: ignore[arg-type]


def test_a_row_is_written_when_it_is_new_and_never_after_the_end() -> None:
    log: list[Any] = []
    written: list[Span] = []
    node = NodeAtWork("a", 1, 5.0, log)
    assert (node.show(written.append), node.show(written.append)) == (True, False)
    log.append({"message": "m"})
    assert node.show(written.append)
    node.end()
    log.append({"message": "late"})
    assert not node.show(written.append)
    assert [span.log and json.loads(span.log) for span in written] == [None, [{"message": "m"}]]


def test_what_could_not_be_written_is_written_the_next_time() -> None:
    node, written = NodeAtWork("a", 1, 5.0, []), []

    def fail(span: Span) -> None:
        raise StoreUnavailable("away")

    with pytest.raises(StoreUnavailable):
        node.show(fail)
    assert node.show(written.append)


def test_the_end_of_a_node_waits_for_what_is_being_written_of_its_work() -> None:
    at_work, order, writing, go_on = Live(), [], threading.Event(), threading.Event()
    at_work.begin("a", 1, 5.0, [])
    [node] = at_work.nodes()

    def write(span: Span) -> None:
        writing.set()
        assert go_on.wait(5)
        order.append("work")

    def end() -> None:
        at_work.end("a")
        order.append("end")

    threads = [threading.Thread(target=node.show, args=[write]), threading.Thread(target=end)]
    threads[0].start()
    assert writing.wait(5)
    threads[1].start()
    time.sleep(0.05)
    go_on.set()
    for thread in threads:
        thread.join()
    assert order == ["work", "end"]
    assert at_work.nodes() == []


def test_a_run_is_watched_for_a_while_whoever_takes_it_when(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Hands()
    [before] = held.take([claimed("a")]).values()
    held.watch(["a", "b"])
    [after] = held.take([claimed("b")]).values()
    assert (before.live.watched, after.live.watched, after.live.attempt) == (True, True, 2)
    assert held.followed(["a", "b", "c"]) == ["a", "b"]
    assert [run for run, _ in held.watched()] == ["a", "b"]
    monkeypatch.setattr(hands, "WATCHED", -1.0)
    held.watch(["a"])
    assert [run for run, _ in held.watched()] == ["b"]
    assert (before.live.watched, held.followed(["a"])) == (False, [])


def test_of_many_nodes_at_once_the_end_is_what_stays(service: Running) -> None:
    nodes = [
        {"id": f"n{at}", "uses": "script", "needs": [], "with": {"code": PRINTS, "input": at}}
        for at in range(12)
    ]
    service.deploy("many", nodes)
    run = service.start("many", ring=True)
    while service.read(run)["status"] in ("pending", "running"):
        with service.database.connection() as connection:
            live.watch(connection, [run])
        time.sleep(0.05)
    spans = service.spans(run)
    assert service.read(run)["status"] == "completed"
    assert {path: span["output"] for path, span in spans.items()} == {f"n{at}": at for at in range(12)}
    assert all([line["message"] for line in span["log"]] == ["0", "1", "2"] for span in spans.values())
    assert max(span["seq"] for span in spans.values()) > 12, "nothing was written while they were at work"
