"""Schedules that are due in the same second, and many that are not. `python -m bench.schedules`

A slot's lag is from its instant until a worker has its run in hand: the times of both are the database's. The floor
is the same number of rows in one statement, committed. Each schedule belongs to a deployment of its own.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from bench.installation import Installation, deployment, installation
from bench.processes import family
from bench.table import milliseconds, percentile, show

TOGETHER = 1_000
IDLE = 10_000
SLOTS = 5
APART = 12  # seconds between two slots


def pattern(name: str, schedule: str) -> str:
    return (
        f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: {name}}}\nspec:\n"
        f"  on: {{schedule: [{schedule}]}}\n"
        "  nodes:\n    - {id: a, uses: set, with: {x: 1}}\n"
    )


def files(prefix: str, count: int, schedule: str) -> dict[str, str]:
    """One pattern, and so many deployments of it."""
    live = {f"deployments/{prefix}-{n}.yaml": _deployment(f"{prefix}-{n}", prefix) for n in range(count)}
    return {f"patterns/{prefix}.yaml": pattern(prefix, schedule), **live}


def _deployment(name: str, of: str) -> str:
    return deployment(name).replace(f"pattern: {name}}}", f"pattern: {of}}}")


def lags(weft: Installation) -> list[float]:
    """Seconds from each slot to the worker that has its run, of the last `SLOTS` slots that came together."""
    with weft.database() as connection:
        rows = connection.execute(
            """SELECT trigger->>'time', array_agg(extract(epoch FROM started_at - (trigger->>'time')::timestamptz))
               FROM runs WHERE pattern = 'together' AND started_at IS NOT NULL GROUP BY 1 HAVING count(*) = %s
               ORDER BY 1 DESC LIMIT %s""",
            [TOGETHER, SLOTS],
        ).fetchall()
    assert len(rows) == SLOTS, f"{len(rows)} slots were whole"
    return [float(lag) for _, several in rows for lag in several]


def floor(weft: Installation) -> float:
    with weft.database() as connection:
        connection.execute("CREATE TEMP TABLE floor (LIKE runs)")
        began = time.perf_counter()
        connection.execute(
            """INSERT INTO floor (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger,
                                  due_at, created_at, lease, crashes, woken, cancelled, attempt, depth)
               SELECT gen_random_uuid(), n, 1, 'v', 'p', 'pending', 'schedule', '{}', now(), now(), 0, 0, false,
                      false, 1, 0 FROM generate_series(1, %s) AS n""",
            [TOGETHER],
        )
        return time.perf_counter() - began


def busy(weft: Installation, seconds: float) -> float:
    """The share of a core that the controller uses."""
    before = _used(weft)
    time.sleep(seconds)
    return (_used(weft) - before) / seconds


def _used(weft: Installation) -> float:
    [controller] = [one for one in family(weft.pid) if "controller" in one.name]
    return controller.cpu


def main() -> None:
    with installation() as weft:
        least = floor(weft)
        weft.push(files("together", TOGETHER, f'{{cron: "*/{APART} * * * * *"}}'))
        time.sleep((SLOTS + 2) * APART)
        found = lags(weft)
        weft.push(
            {**files("together", TOGETHER, '{cron: "0 0 1 1 *"}'), **files("idle", IDLE, "{every: 1d}")}
        )
        until = datetime.now(UTC) + timedelta(seconds=15)
        time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()))
        share = busy(weft, 20.0)
    spread = f"p50 {milliseconds(percentile(found, 0.5))}, p99 {milliseconds(percentile(found, 0.99))}"
    show(
        f"Schedules, {SLOTS} slots of {TOGETHER:,} at once, each run begun by a worker",
        [
            (
                f"{TOGETHER:,} due in one second",
                "p99 < 1 s",
                spread,
                f"{TOGETHER:,} rows: {milliseconds(least)}",
            ),
            (f"{IDLE:,} that are not due", "< 5 % of a core", f"{share:.1%}", "the whole controller"),
        ],
    )


if __name__ == "__main__":
    main()
