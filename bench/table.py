"""Prints what was measured beside what was wanted."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def show(title: str, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Rows of (what, goal, measured, floor or note)."""
    table = [("what", "goal", "measured", "floor, note"), *rows]
    widths = [max(len(row[at]) for row in table) for at in range(4)]
    print(f"\n{title}")
    for number, row in enumerate(table):
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def percentile(values: Sequence[float], share: float) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.{1 if seconds < 0.1 else 0}f} ms"


def spread(seconds: Sequence[float]) -> str:
    return f"p50 {milliseconds(statistics.median(seconds))}, p95 {milliseconds(percentile(seconds, 0.95))}"


def median_and_most(seconds: Sequence[float]) -> str:
    return f"p50 {milliseconds(statistics.median(seconds))}, max {milliseconds(max(seconds))}"
