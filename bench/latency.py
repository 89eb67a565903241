"""One webhook call at a time on an idle service: acknowledged, and its run completed. `python -m bench.latency`

The end of a run is read from its row afterwards, so that nobody looks on while it runs: it is the database's clock
at the last write, on this machine, to which that write's commit is added. A second, smaller round asks the database
without a pause until it sees the run completed, as a check from outside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from bench.floors import commits, timed, wakes
from bench.installation import LIGHT, installation, settle
from bench.load import Caller
from bench.table import milliseconds, show, spread
from store.database import Connection

BODY = b'{"total": 720, "customer": "c-17"}'
CALLS = 200
WATCHED = 50
PAUSE = 0.03
"""Seconds between two calls: long enough for the one before to be over."""

Sent = tuple[str, float, float]
"""A run's id, when it was sent, and how long the acknowledgement took."""


def calls(caller: Caller, hook: str, times: int) -> list[Sent]:
    sent = []
    for _ in range(times):
        time.sleep(PAUSE)
        sent.append(_call(caller, hook))
    return sent


def _call(caller: Caller, hook: str) -> Sent:
    at, began = time.time(), time.perf_counter()
    status, answer = caller.call(hook, BODY)
    took = time.perf_counter() - began
    assert status == 202, answer
    return answer["run"]["id"], at, took


def ends(connection: Connection, sent: Sequence[Sent]) -> list[float]:
    """Seconds from sent to the run's last write."""
    settle(connection)
    sql = "SELECT id::text, extract(epoch FROM ended_at)::float8 FROM runs WHERE status = 'completed'"
    ended: dict[str, float] = dict(connection.execute(sql).fetchall())
    return [ended[run] - at for run, at, _ in sent]


def watched(connection: Connection, caller: Caller, hook: str) -> list[float]:
    """Seconds until a reader that asks without a pause sees the run completed."""
    seen = []
    for _ in range(WATCHED):
        time.sleep(PAUSE)
        run, at, _ = _call(caller, hook)
        while not connection.execute(
            "SELECT 1 FROM runs WHERE id = %s AND ended_at IS NOT NULL", [run]
        ).fetchone():
            pass
        seen.append(time.time() - at)
    return seen


def main() -> None:
    with installation() as weft, weft.database() as connection:
        hook = weft.deploy("light", LIGHT)
        caller = Caller(hook)
        calls(caller, hook, 20)
        sent = calls(caller, hook, CALLS)
        written = ends(connection, sent)
        seen = watched(connection, caller, hook)
        http = statistics.median(timed(lambda: caller.call(f"{hook}?ping", b"", "GET"), CALLS))
        commit = statistics.median(commits(connection, CALLS))
        wake = statistics.median(wakes(weft.broker_url, CALLS))
        caller.close()
    acknowledged = f"HTTP there and back {milliseconds(http)} + durable commit {milliseconds(commit)}"
    floor = f"those + wake {milliseconds(wake)} + 2 commits = {milliseconds(http + wake + 3 * commit)}"
    show(
        f"Idle latency: {CALLS} single calls, three light nodes, the run and every span durable",
        [
            ("sent → 202", "", spread([took for _, _, took in sent]), acknowledged),
            ("sent → completed", "p50 ≤ 6 ms", spread([one + commit for one in written]), floor),
            (
                "the same, by a reader that never pauses",
                "",
                spread(seen),
                f"{WATCHED} calls, disturbed by the reader",
            ),
        ],
    )


if __name__ == "__main__":
    main()
