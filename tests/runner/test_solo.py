"""Runs that workers died with, each in a process of its own."""

import time
from typing import Any

from running import Running, worker

from runner.broker import BellBroker
from store.leases import SUSPECT

SCRIPT = {
    "id": "s",
    "uses": "script",
    "with": {"code": "def main(input):\n    import time; time.sleep(input)"},
}


def script(seconds: float) -> list[dict[str, Any]]:
    return [{**SCRIPT, "with": {**SCRIPT["with"], "input": seconds}}]  # type: ignore[dict-item]


def suspect(running: Running, name: str) -> str:
    run = running.start(name, ring=False)
    with running.database.connection() as c:
        c.execute("UPDATE runs SET crashes = %s WHERE id = %s", [SUSPECT, run])
    return run


def ring(running: Running, *runs: str) -> None:
    broker = BellBroker(running.redis_url)
    broker.ring([[run] for run in runs])
    broker.close()


def test_a_suspect_that_is_innocent_ends_like_any_other(running: Running) -> None:
    running.deploy("p", [{"id": "a", "uses": "set", "with": {"x": 1}}, *script(0)])
    runs = [suspect(running, "p") for _ in range(2)]
    with worker(running, threads=2):
        ring(running, *runs, *runs)
        for run in runs:
            ended = running.wait(run)
            assert (ended["status"], ended["crashes"]) == ("completed", SUSPECT)
            assert running.spans(run)["a"]["status"] == "completed"


def test_a_worker_that_leaves_gives_its_suspects_back(running: Running) -> None:
    running.deploy("p", script(30))
    run = suspect(running, "p")
    with worker(running, threads=2):
        ring(running, run)
        running.wait(run, until=("running",))
        time.sleep(0.3)
    left = running.read(run)
    assert (left["status"], left["crashes"]) == ("pending", SUSPECT)
