"""Limits of deployments with a real worker and sweeper."""

from typing import Any

from running import Running, sweeper, worker

from store import leases


def nap(seconds: float) -> list[dict[str, Any]]:
    code = f"import time\ndef main(input):\n    time.sleep({seconds})"
    return [{"id": "s", "uses": "script", "with": {"code": code}}]


def test_never_more_than_the_limit_are_at_work_and_all_of_them_end(running: Running) -> None:
    running.deploy("p", nap(0.05), deployment={"concurrency": {"limit": 2}})
    with worker(running, threads=8), sweeper(running):
        runs = [running.start("p") for _ in range(12)]
        ended = [running.wait(run) for run in runs]
    assert {run["status"] for run in ended} == {"completed"}
    for run in ended:
        beside = [
            one
            for one in ended
            if one["started_at"] < run["ended_at"] and one["ended_at"] > run["started_at"]
        ]
        at_once = [one for one in beside if one["started_at"] <= run["started_at"] < one["ended_at"]]
        assert len(at_once) <= 2


def test_a_called_pattern_s_limit_holds_its_callers_without_holding_a_worker(running: Running) -> None:
    inner = running.deploy("inner", nap(0.05), deployment={"concurrency": {"limit": 1}})
    call = {"id": "c", "uses": "call", "with": {"pattern": "inner"}}
    running.deploy("outer", [call], calls={"inner": inner})
    with worker(running, threads=1), sweeper(running):
        runs = [running.start("outer") for _ in range(6)]
        assert {running.wait(run)["status"] for run in runs} == {"completed"}


def test_a_call_that_is_refused_fails_with_a_type_of_its_own(running: Running) -> None:
    wait = {"id": "w", "uses": "wait", "with": {"event": "go"}}
    reject = {"concurrency": {"limit": 1, "whenFull": "reject"}}
    inner = running.deploy("inner", [wait], deployment=reject)
    call = {"id": "c", "uses": "call", "with": {"pattern": "inner"}}
    middle = running.deploy("middle", [call], calls={"inner": inner})
    running.deploy("outer", [call | {"with": {"pattern": "middle"}}], calls={"middle": middle})
    with worker(running), sweeper(running):
        running.wait(running.start("inner"), until=("waiting",))
        error = running.run("middle")["error"]
        assert (error["type"], error["node"], "whenFull" in error["hint"]) == ("concurrency_full", "c", True)
        assert running.run("outer")["error"]["type"] == "call_failed", "it was not middle that was full"


def test_the_queue_outlives_a_restart_and_a_slot_that_nobody_passed_on_is_found(running: Running) -> None:
    running.deploy("p", nap(0.05), deployment={"concurrency": {"limit": 1}})
    runs = [running.start("p") for _ in range(3)]
    assert [running.read(run)["status"] for run in runs] == ["pending", "queued", "queued"]
    with (
        running.database.connection() as c
    ):  # as if the worker had died between the end and the next one's turn
        assert leases.claim(c, "gone", [runs[0]])
        c.execute("UPDATE runs SET ended_at = now(), status = 'failed' WHERE id = %s", [runs[0]])
    with worker(running), sweeper(running):
        assert {running.wait(run)["status"] for run in runs[1:]} == {"completed"}
