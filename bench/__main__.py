"""`python -m bench`: all tables, one after the other; about eleven minutes."""

from __future__ import annotations

import os
import platform

from bench import (
    actions,
    control,
    footprint,
    latency,
    promotion,
    push,
    rebuild,
    recovery,
    schedules,
    scripts,
    throughput,
    webhooks,
)


def main() -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"{platform.platform()}, {cores} cores, Python {platform.python_version()}")
    for table in (
        throughput,
        latency,
        webhooks,
        control,
        scripts,
        recovery,
        push,
        schedules,
        promotion,
        actions,
        rebuild,
        footprint,
    ):
        table.main()


if __name__ == "__main__":
    main()
