"""`kill -9` of a worker in the middle of a run: when does the run go on elsewhere? `python -m bench.recovery`

Ten `script` nodes of 50 ms; the worker is killed behind the third. The run goes on when its next node begins in
another process (the node's `started_at`), and its code runs when the script there reads its first clock.
Workers are killed at the age of five seconds: one that dies at once, again and again, is started more slowly.
"""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from bench.installation import Installation, installation, script_pattern, settle
from bench.load import Caller
from bench.processes import ancestor
from bench.table import median_and_most, show
from cli.restarts import STEADY
from store.database import Connection

SOURCE = """\
import os
import time


def main(_):
    began = time.time()
    time.sleep(0.05)
    return [os.getpid(), began]
"""
NODES = 10
BEFORE = 3
KILLS = 20

Recovered = tuple[float, float]
"""Seconds from the kill until the next node began, and until its code ran."""


class Killings:
    """Kills on one installation."""

    def __init__(self, weft: Installation) -> None:
        self._hook = weft.deploy("long", script_pattern("long", "scripts/wait.py", [0] * NODES), wait=SOURCE)
        self._connection = weft.database()

    def close(self) -> None:
        self._connection.close()

    def kill_one(self) -> Recovered:
        """In the middle of a run of a worker that is old enough; runs of others just end."""
        while True:
            run = self._start()
            worker = ancestor(self._host(run), "weft-worker").pid
            if self._old_enough(worker):
                break
            settle(self._connection)
        killed = time.time()
        os.kill(worker, signal.SIGKILL)
        settle(self._connection)
        return _recovered(self._connection, run, killed)

    def _start(self) -> str:
        caller = Caller(self._hook)
        status, answer = caller.call(self._hook, b"{}")
        caller.close()
        assert status == 202, answer
        return str(answer["run"]["id"])

    def _host(self, run: str) -> int:
        """The process of the run's scripts, once some of its nodes are journaled."""
        sql = "SELECT output->>0 FROM spans WHERE run_id = %s AND status = 'completed'"
        while len(found := self._connection.execute(sql, [run]).fetchall()) < BEFORE:
            time.sleep(0.005)
        return int(found[-1][0])

    def _old_enough(self, worker: int) -> bool:
        return time.time() - os.stat(f"/proc/{worker}").st_ctime > STEADY + 0.2


def _recovered(connection: Connection, run: str, killed: float) -> Recovered:
    sql = """
        SELECT r.status, r.crashes, extract(epoch FROM s.started_at)::float8, (s.output->>1)::float8
        FROM runs r JOIN spans s ON s.run_id = r.id
        WHERE r.id = %s ORDER BY s.path
    """
    rows = connection.execute(sql, [run]).fetchall()
    assert len(rows) == NODES, f"{len(rows)} nodes journaled"
    assert {row[:2] for row in rows} == {("completed", 1)}, rows[0][:2]
    after = [(started - killed, ran - killed) for _, _, started, ran in rows if started > killed]
    assert 0 < len(after) <= NODES - BEFORE, f"{len(after)} nodes began after the kill"
    return after[0]


def kills(weft: Installation, times: int) -> list[Recovered]:
    killings = Killings(weft)
    try:
        return [killings.kill_one() for _ in range(times)]
    finally:
        killings.close()


def main() -> None:
    # Side by side, because most of the time is spent waiting for workers to come of age.
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        alone = [stack.enter_context(installation("--workers", "1")) for _ in range(2)]
        pair = stack.enter_context(installation("--workers", "2"))
        halves = [pool.submit(kills, weft, KILLS // 2) for weft in alone]
        of_pair = pool.submit(kills, pair, KILLS).result()
        of_one = [one for half in halves for one in half.result()]
    rows = []
    for workers, recovered in (("1 worker", of_one), ("2 workers", of_pair)):
        begun, ran = [begun for begun, _ in recovered], [ran for _, ran in recovered]
        rows.append(
            (f"{workers}: its next node begins", "≤ 100 ms", median_and_most(begun), f"{len(begun)} kills")
        )
        rows.append((f"{workers}: its code runs", "", median_and_most(ran), "in a host of the new worker"))
    show(
        "Recovery: kill -9 of a worker in the middle of a run of ten scripts; all completed, none journaled twice",
        rows,
    )


if __name__ == "__main__":
    main()
