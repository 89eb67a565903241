"""Promotions by `git push` while webhooks come in as fast as they are answered. `python -m bench.promotion`

The row that moves: from the beginning of the reconciler's transaction (the revision's `at`) to its commit, both by
PostgreSQL's own clock, which keeps the times of commits when it is told to. Floor: the same without load.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future

from bench.installation import LIGHT, Installation, Push, installation, settle
from bench.load import Load, beside, post
from bench.table import show, spread
from store.database import Connection, scalar

BODY = b'{"total": 720, "customer": "c-17"}'
CLIENTS = 64
SECONDS = 15.0
IDLE_PUSHES = 20


class Promotions:
    """Pushes of ever new versions of one pattern."""

    def __init__(self, weft: Installation) -> None:
        self._weft = weft
        self._number = 0

    def push(self) -> Push:
        self._number += 1
        changed = LIGHT.replace("an order of", f"order {self._number} of")
        return self._weft.push({"patterns/light.yaml": changed})

    def until(self, load: Future[Load]) -> list[Push]:
        """One after the other while there is load."""
        pushes = []
        while not load.done():
            pushes.append(self.push())
        return pushes


def keep_commit_times(weft: Installation) -> None:
    with weft.database() as connection:
        connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    weft.stop()
    weft.start()


def moves(connection: Connection, after: int) -> list[float]:
    """Seconds of the transactions that made the revisions after `after`."""
    sql = """
        SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - at)::float8
        FROM revisions WHERE revision > %s
    """
    return [row[0] for row in connection.execute(sql, [after])]


def check(connection: Connection, load: Load) -> None:
    settle(connection)
    accepted = load.statuses.get(202, 0)
    assert accepted == len(load.latencies), load.statuses
    wrong = scalar(
        connection,
        """SELECT count(*) FROM runs r LEFT JOIN revisions v USING (deployment_id, revision)
           WHERE r.version_id IS DISTINCT FROM v.version_id OR r.status <> 'completed'""",
    )
    assert wrong == 0, f"{wrong} runs of another version, or not completed"


def row(what: str, goal: str, loaded: Sequence[float], idle: Sequence[float]) -> tuple[str, str, str, str]:
    return what, goal, spread(loaded), f"without load {spread(idle)}"


def main() -> None:
    with installation() as weft:
        weft.deploy("light", LIGHT)
        keep_commit_times(weft)
        hook, promotions = weft.webhook("light"), Promotions(weft)
        post(hook, BODY, clients=CLIENTS, seconds=1.0)
        idle = [promotions.push() for _ in range(IDLE_PUSHES)]
        with weft.database() as connection, beside(hook, BODY, clients=CLIENTS, seconds=SECONDS) as future:
            time.sleep(1.0)
            pushes = promotions.until(future)[:-1]  # the last one may have outlived the load
            load = future.result()
            check(connection, load)
            idle_moves, load_moves = _apart(moves(connection, 1), len(idle))
            versions = scalar(connection, "SELECT count(DISTINCT version_id) FROM runs")
    none = f"{len(load.latencies):,} runs of {versions} versions, each that of its acceptance"
    show(
        f"Promotion: {len(pushes)} of them under the load of {CLIENTS} clients, {load.rate:,.0f} runs/s",
        [
            row("the row that moves", "≤ 10 ms", load_moves[: len(pushes)], idle_moves),
            row("on the server", "", [p.server_seconds for p in pushes], [p.server_seconds for p in idle]),
            row("seen by git push", "", [p.seconds for p in pushes], [p.seconds for p in idle]),
            ("requests that failed", "0", str(len(load.latencies) - load.statuses[202]), none),
        ],
    )


def _apart(values: list[float], first: int) -> tuple[list[float], list[float]]:
    return values[:first], values[first:]


if __name__ == "__main__":
    main()
