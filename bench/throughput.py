"""Webhook → completed: sustained, until the last run has ended. `python -m bench.throughput [seconds]`

Floors of the same run: an HTTP answer without a run (404 of an unknown webhook, with the same clients), and a
durable commit of one row, one by one, on the same PostgreSQL.
"""

from __future__ import annotations

import sys
import time

from bench.installation import LIGHT, Installation, deployment, installation
from bench.load import Load, post
from bench.table import show

BODY = b'{"total": 720, "customer": "c-17"}'


def sustained(weft: Installation, clients: int, seconds: float) -> tuple[Load, float, int]:
    """The load, runs per second until the last one completed, and how many were not `completed`."""
    with weft.database() as connection:
        before = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
        began = time.perf_counter()
        load = post(weft.webhook("light"), BODY, clients=clients, seconds=seconds)
        while connection.execute("SELECT 1 FROM runs WHERE ended_at IS NULL LIMIT 1").fetchone():
            time.sleep(0.002)
        took = time.perf_counter() - began
        after, completed, spans = connection.execute(
            """SELECT count(*), count(*) FILTER (WHERE status = 'completed'), (SELECT count(*) FROM spans)
               FROM runs"""
        ).fetchone()
    assert after - before == load.statuses.get(202, 0), (before, after, load.statuses)
    assert spans == 3 * after, (spans, after)
    return load, (after - before) / took, after - completed


def commits_per_second(weft: Installation, seconds: float = 2.0) -> float:
    with weft.database() as connection:
        connection.execute("CREATE TABLE floor (id int)")
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            connection.execute("INSERT INTO floor VALUES (1)")
            count += 1
        connection.execute("DROP TABLE floor")
    return count / seconds


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with installation() as weft:
        weft.push({"patterns/light.yaml": LIGHT, "deployments/light.yaml": deployment("light")})
        post(weft.webhook("light"), BODY, clients=16, seconds=1.0)
        time.sleep(1)
        rows = []
        for clients, goal in ((64, 5000), (16, 3000)):
            load, rate, bad = sustained(weft, clients, seconds)
            unknown = post(f"{weft.url}/hooks/unknown", BODY, clients=clients, seconds=2.0)
            floor = f"HTTP alone {len(unknown.latencies) / unknown.seconds:,.0f}/s"
            p50, p95 = load.percentile(0.5) * 1000, load.percentile(0.95) * 1000
            rows.append((f"webhook → completed, {clients} clients", f"≥ {goal:,}/s", f"{rate:,.0f}/s", floor))
            rows.append(
                (f"acknowledged, {clients} clients, p95", "≤ 20 ms", f"{p95:.1f} ms", f"p50 {p50:.1f} ms")
            )
            rows.append((f"not completed, of {len(load.latencies):,}", "0", str(bad), str(load.statuses)))
        rows.append(("one durable commit after the other", "", f"{commits_per_second(weft):,.0f}/s", "floor"))
    show("Throughput: three light nodes, the run and every span durable", rows)


if __name__ == "__main__":
    main()
