"""How the client commands print: for people in 80 columns, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.pattern import JSON

STYLES = {
    "open": "cyan",
    "merged": "green",
    "closed": "yellow",
    "active": "green",
    "ready": "green",
    "completed": "green",
    "running": "cyan",
    "waiting": "cyan",
    "pending": "cyan",
    "paused": "yellow",
    "fired": "green",
    "skipped": "dim",
    "cancelled": "yellow",
    "failed": "red",
    "timeout": "red",
    "dead_letter": "red",
    "retried": "green",
    "discarded": "yellow",
    "stalled": "red",
    "circuit_open": "red",
    "queued": "cyan",
}
UNLIMITED = 100_000  # columns of what is no terminal: whatever reads it does not want it cut
MISSING = "-"


def make_console() -> Console:
    """Standard output. Colours on a terminal only; elsewhere nothing is wrapped or cut."""
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else UNLIMITED)


def print_json(value: JSON) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False))


def problem_line(problem: JSON) -> str:
    """What is wrong at `path`, or `file:line:column` where a file is at fault, and what to do."""
    place = ":".join(str(problem[key]) for key in ("path", "line", "column") if problem.get(key))
    said = " ".join(filter(None, (problem.get("message"), problem.get("hint"))))
    return f"{place}: {said}" if place else said


def styled(word: str) -> Text:
    return Text(word, style=STYLES.get(word, ""))


def columns(headers: Sequence[str], rows: Iterable[Sequence[str | Text]], *, cut: Sequence[str]) -> Table:
    """A table without lines. Where it does not fit, the cells of the columns `cut` end in an ellipsis."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for at, header in enumerate(headers):
        width = max([len(header), *(row[at].cell_len for row in cells)])
        table.add_column(
            header, no_wrap=True, overflow="ellipsis", min_width=None if header in cut else width
        )
    for row in cells:
        table.add_row(*row)
    return table


def facts(pairs: Iterable[tuple[str, str | Text]]) -> Table:
    """Names with values, one below the other."""
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, value if isinstance(value, Text) else Text(value))
    return table


def version(found: JSON) -> str:
    """`v3`; content that has no number is named by its id."""
    if found is None:
        return MISSING
    return f"v{found['number']}" if found["number"] else str(found["id"])[:10]


def moment(text: str | None) -> str:
    """A time as the clock on the wall shows it, as exactly as one still cares."""
    if text is None:
        return MISSING
    at = datetime.fromisoformat(text).astimezone()
    ago = abs(datetime.now(UTC) - at)
    if ago < timedelta(hours=12):
        return at.strftime("%H:%M:%S")
    return at.strftime("%b %d %H:%M" if ago < timedelta(days=180) else "%Y-%m-%d")


def took(milliseconds: float | None) -> str:
    if milliseconds is None:
        return MISSING
    if milliseconds < 1000:
        return f"{milliseconds:.3g} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {seconds} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def short(value: JSON, limit: int) -> str:
    """A JSON value in one line of at most `limit` characters."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = " ".join(text.split())
    return line if len(line) <= limit else f"{line[: max(limit - 1, 0)]}…"
