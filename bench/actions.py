"""Promotions and rollbacks through the API, in repositories of many patterns. `python -m bench.actions`

From the request to its answer, after which the next run has the version: each answer is followed by a webhook call
whose run is read. A push of one changed pattern into the larger repository is beside it.
"""

from __future__ import annotations

import time

import httpx

from bench.installation import Installation, installation
from bench.repository import callee, first_commit, name, pattern
from bench.table import show, spread

SIZES = ((1_000, "p50 ≤ 40 ms"), (10_000, "p50 ≤ 150 ms"))
TIMES = 40
PUSHES = 20


def acted(weft: Installation, deployment: str) -> list[float]:
    """Seconds of each of `TIMES` actions: back to the first version, to the second, and so on."""
    taken = []
    hook = weft.webhook(deployment)
    with httpx.Client(
        base_url=weft.url, headers={"authorization": f"Bearer {weft.token}"}, timeout=60
    ) as http:
        for number in range(TIMES):
            version = 1 + number % 2
            action, key = ("promote", "version") if number % 4 < 2 else ("rollback", "to")
            began = time.perf_counter()
            answer = http.post(f"/api/v1/deployments/{deployment}/{action}", json={key: version})
            taken.append(time.perf_counter() - began)
            answer.raise_for_status()
            run = http.post(hook, json={"total": 1, "customer": "c"}).raise_for_status().json()["run"]["id"]
            found = http.get(f"/api/v1/runs/{run}").raise_for_status().json()["version"]["number"]
            assert found == version, f"the run has version {found}, not {version}"
    return taken


def measure(patterns: int, goal: str) -> list[tuple[str, str, str, str]]:
    with installation() as weft:
        weft.push(first_commit(patterns, patterns))
        changed = [
            weft.push({f"patterns/{name(n)}.yaml": pattern(name(n), f"push {n}", callee(n))})
            for n in range(1, PUSHES + 1)
        ]
        taken = acted(weft, name(1))
    limit = "≤ 150 ms" if patterns == SIZES[0][0] else "≤ 250 ms"
    seen, ours = ([getattr(push, field) for push in changed] for field in ("seconds", "server_seconds"))
    return [
        (f"{patterns:,} patterns: promote, roll back", goal, spread(taken), "each seen by the next run"),
        (f"{patterns:,} patterns: push of a change", limit, spread(seen), f"of which ours {spread(ours)}"),
    ]


def main() -> None:
    rows = [row for patterns, goal in SIZES for row in measure(patterns, goal)]
    show(f"Actions through the API, {TIMES} times, every pattern deployed", rows)


if __name__ == "__main__":
    main()
