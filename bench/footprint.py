"""What an idle Weft costs: start, memory, processor. `python -m bench.footprint`

Memory is the proportional set size (PSS) of `weft up` and everything under it, database and broker included: a page
that several processes share counts once. Floors: an interpreter that imports nothing, and one that imports Weft.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import defaultdict

from bench.floors import timed
from bench.installation import LIGHT, Installation, installation, settle
from bench.load import post
from bench.processes import Process, family
from bench.table import milliseconds, show, spread

BODY = b'{"total": 720, "customer": "c-17"}'
IDLE = 10.0
"""Seconds in which the processor's time is counted."""

IMPORTS = "import web.server, runner.worker, cli.controller, cli.main"


def megabytes(found: dict[str, int]) -> str:
    return f"{sum(found.values()) / 1e6:.0f} MB"


def memory(weft: Installation) -> dict[str, int]:
    """PSS by the processes' name."""
    found: dict[str, int] = defaultdict(int)
    for one in family(weft.pid):
        found[_name(weft, one)] += one.pss
    return found


def _name(weft: Installation, one: Process) -> str:
    return "supervisor" if one.pid == weft.pid else one.name


def listed(found: dict[str, int]) -> str:
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {amount / 1e6:.0f}" for name, amount in ranked)


def used_by(used: dict[str, float]) -> str:
    ranked = sorted(used.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in ranked if seconds)


def processor(weft: Installation) -> dict[str, float]:
    """Seconds of processor time per idle minute, by the processes' name."""
    before = {one.pid: one.cpu for one in family(weft.pid)}
    time.sleep(IDLE)
    used: dict[str, float] = defaultdict(float)
    for one in family(weft.pid):
        used[_name(weft, one)] += (one.cpu - before.get(one.pid, 0.0)) * 60 / IDLE
    return used


def interpreter(code: str) -> float:
    """Seconds of the quickest of five."""
    return min(timed(lambda: subprocess.run([sys.executable, "-c", code], check=True), 5))


def again(weft: Installation) -> float:
    """Seconds of another start on the same data."""
    weft.stop()
    weft.start()
    return weft.started_in


def main() -> None:
    with installation() as weft:
        first, later = weft.started_in, [again(weft) for _ in range(5)]
        time.sleep(3)
        idle, used = memory(weft), processor(weft)
        load = post(weft.deploy("light", LIGHT), BODY, clients=16, seconds=5.0)
        with weft.database() as connection:
            settle(connection)
        time.sleep(3)
        after = memory(weft)
    bare, imports = interpreter("pass"), interpreter(IMPORTS)
    show(
        "Footprint: everything that `weft up` starts",
        [
            ("idle memory (PSS)", "≤ 220 MB", megabytes(idle), listed(idle)),
            (f"after {len(load.latencies):,} runs", "", megabytes(after), listed(after)),
            ("to ready, second start", "≤ 2 s", spread(later), f"imports alone {milliseconds(imports)}"),
            ("to ready, first start", "", milliseconds(first), f"an interpreter {milliseconds(bare)}"),
            ("processor, per idle minute", "", f"{sum(used.values()):.2f} s", used_by(used)),
        ],
    )


if __name__ == "__main__":
    main()
