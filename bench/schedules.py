"""Schedules that are due in the same second, and many that are not. `python -m bench.schedules`

A slot's lag is from its instant until its run is accepted, and until a worker has it in hand: all three are times
of the database's. The floor is the same number of rows in one statement, committed. Each schedule belongs to a
deployment of its own, and no two have the same cron line.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from bench.installation import Installation, installation
from bench.processes import family
from bench.table import milliseconds, percentile, show

TOGETHER = 1_000
IDLE = 10_000
SLOTS = 5
APART = 12  # seconds between two slots
SETTLED = 15.0  # seconds after which nothing of a push is left to do


PATTERN = """\
apiVersion: weft/v1
kind: Pattern
metadata: {name: tick}
spec:
  on: {schedule: []}
  nodes: [{id: a, uses: set, with: {x: 1}}]
"""


def deployments(prefix: str, schedules: Iterable[str]) -> dict[str, str]:
    """One for each of `schedules`."""
    return {
        f"deployments/{prefix}-{at}.yaml": (
            f"apiVersion: weft/v1\nkind: Deployment\nmetadata: {{name: {prefix}-{at}}}\n"
            f"spec: {{pattern: tick, schedules: [{schedule}]}}\n"
        )
        for at, schedule in enumerate(schedules)
    }


def together() -> Iterator[str]:
    """All at the same instants, each in other words."""
    return (f'{{cron: "*/{APART} {at % 60},0-59 {at // 60},0-23 * * *"}}' for at in range(TOGETHER))


def lags(weft: Installation, column: str) -> list[float]:
    """Seconds from each slot to the time in `column` of its run, of the last `SLOTS` slots that came together."""
    with weft.database() as connection:
        rows = connection.execute(
            f"""SELECT trigger->>'time', array_agg(extract(epoch FROM {column} - (trigger->>'time')::timestamptz))
                FROM runs WHERE started_at IS NOT NULL GROUP BY 1 HAVING count(*) = %s
                ORDER BY 1 DESC LIMIT %s""".encode(),
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


def tail(seconds: list[float]) -> str:
    return f"p50 {milliseconds(percentile(seconds, 0.5))}, p99 {milliseconds(percentile(seconds, 0.99))}"


def main() -> None:
    with installation() as weft:
        least = floor(weft)
        weft.push({"patterns/tick.yaml": PATTERN, **deployments("together", together())})
        time.sleep((SLOTS + 2) * APART)
        accepted, begun = lags(weft, "created_at"), lags(weft, "started_at")
        rare = ['{cron: "0 0 1 1 *"}'] * TOGETHER
        weft.push({**deployments("together", rare), **deployments("idle", ["{every: 1d}"] * IDLE)})
        time.sleep(SETTLED)
        share = busy(weft, 20.0)
    show(
        f"Schedules, {SLOTS} slots of {TOGETHER:,} at once",
        [
            (
                f"{TOGETHER:,} due in one second: accepted",
                "p99 < 1 s",
                tail(accepted),
                f"rows: {milliseconds(least)}",
            ),
            ("and in a worker's hands", "", tail(begun), "one worker, on the same cores"),
            (f"{IDLE:,} that are not due", "< 5 % of a core", f"{share:.1%}", "the whole controller"),
        ],
    )


if __name__ == "__main__":
    main()
