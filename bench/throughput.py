"""Webhook → completed: sustained, until the last run has ended. `python -m bench.throughput`

Floors of the same run: an HTTP answer without a run (a ping of the webhook, with the same clients), and a
durable commit of one row, one after the other, on the same PostgreSQL.
"""

from __future__ import annotations

import statistics
import time

from bench.floors import commits
from bench.installation import LIGHT, Installation, installation, settle
from bench.load import Load, post
from bench.table import milliseconds, show
from store.database import scalar

BODY = b'{"total": 720, "customer": "c-17"}'
SECONDS = 10.0


def sustained(weft: Installation, hook: str, clients: int) -> tuple[Load, float]:
    """The load, and runs per second until the last one completed."""
    with weft.database() as connection:
        before = scalar(connection, "SELECT count(*) FROM runs")
        began = time.perf_counter()
        load = post(hook, BODY, clients=clients, seconds=SECONDS)
        settle(connection)
        took = time.perf_counter() - began
        after = scalar(connection, "SELECT count(*) FROM runs WHERE status = 'completed'")
        spans = scalar(connection, "SELECT count(*) FROM spans")
    accepted = load.statuses.get(202, 0)
    assert accepted == len(load.latencies), load.statuses
    assert after - before == accepted, f"{accepted} acknowledged, {after - before} completed"
    assert spans == 3 * after, f"{spans} spans of {after} runs"
    return load, accepted / took


def rows(weft: Installation, hook: str, clients: int, goal: int) -> list[tuple[str, str, str, str]]:
    load, rate = sustained(weft, hook, clients)
    alone = post(f"{hook}?ping", b"", clients=clients, seconds=2.0, method="GET")
    p50, p95 = milliseconds(load.percentile(0.5)), milliseconds(load.percentile(0.95))
    return [
        (
            f"webhook → completed, {clients} clients",
            f"≥ {goal:,}/s",
            f"{rate:,.0f}/s",
            f"HTTP without a run {alone.rate:,.0f}/s",
        ),
        (f"acknowledged, {clients} clients, p95", "≤ 20 ms", p95, f"p50 {p50}; {load.rate:,.0f}/s"),
    ]


def main() -> None:
    with installation() as weft:
        hook = weft.deploy("light", LIGHT)
        post(hook, BODY, clients=16, seconds=1.0)
        with weft.database() as connection:
            settle(connection)
            measured = rows(weft, hook, 64, 5000) + rows(weft, hook, 16, 3000)
            floor = statistics.median(commits(connection, 1000))
    measured.append(
        ("one durable commit after the other", "", f"{1 / floor:,.0f}/s", "floor without batches")
    )
    show("Throughput: three light nodes, the run and every span durable, all completed once", measured)


if __name__ == "__main__":
    main()
