"""Prints what was measured beside what was wanted."""

from __future__ import annotations

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
