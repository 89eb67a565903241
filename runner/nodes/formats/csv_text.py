"""CSV (RFC 4180): rows as mappings by the names of the header line, or as lists. Every cell is text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from runner.nodes.formats.limits import MAX_CELLS, MAX_TEXT, called, format_error, parse_error
from schemas.pattern import JSON

_AS_LISTS = "Correct the line, or take the rows as lists: `header: false`."


def read_csv(text: str, *, header: bool = True, delimiter: str = ",") -> JSON:
    """Empty lines are left out. With a header, a row that is shorter or longer than it is an error."""
    rows = _rows(text, delimiter)
    if not header:
        return [row for _, row in rows]
    first = next(rows, None)
    if first is None:
        return []
    names = _names(*first)
    return [_record(names, line, row) for line, row in rows]


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the line on which it ends."""
    csv.field_size_limit(MAX_TEXT)  # the module's own, of 128 KiB, is for the whole process
    source = io.StringIO(text.removeprefix("\ufeff"), newline="")
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    cells = 0
    try:
        for row in reader:
            cells += len(row)
            if cells > MAX_CELLS:
                raise parse_error(f"there are more than {MAX_CELLS:,} cells", line=reader.line_num)
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        raise parse_error(str(error), line=reader.line_num, hint="Look at the quotes.") from error


def _names(line: int, row: list[str]) -> list[str]:
    known: set[str] = set()
    for number, name in enumerate(row, start=1):
        if not name:
            raise parse_error(f"column {number} has no name in the header", line=line, hint=_AS_LISTS)
        if name in known:
            raise parse_error(f"two columns are called {name!r:.80}", line=line, hint=_AS_LISTS)
        known.add(name)
    return row


def _record(names: list[str], line: int, row: list[str]) -> JSON:
    if len(row) != len(names):
        message = f"the row has {len(row)} cells, and the header has {len(names)}"
        raise parse_error(message, line=line, hint=_AS_LISTS)
    return dict(zip(names, row, strict=True))


def write_csv(
    value: JSON, *, header: bool = True, delimiter: str = ",", columns: Sequence[str] | None = None
) -> str:
    """Lines end with CR LF. Of mappings, `columns` are those named, else all in the order of their first use.

    Lists are written as they are, below `columns` where these are named.
    """
    rows = _checked_rows(value)
    mappings = bool(rows) and isinstance(rows[0], dict)
    names = [str(name) for name in columns] if columns is not None else _used(rows) if mappings else []
    target = io.StringIO()
    writer = csv.writer(target, delimiter=delimiter, lineterminator="\r\n")
    if header and names:
        writer.writerow(names)
    for number, row in enumerate(rows, start=1):
        cells = [row.get(name) for name in names] if isinstance(row, dict) else row
        if not cells:
            raise format_error(f"row {number} is empty", hint="CSV has no rows without a cell.")
        writer.writerow([_cell(cell, number, at) for at, cell in enumerate(cells, start=1)])
    return target.getvalue()


def _checked_rows(value: JSON) -> list[JSON]:
    if not isinstance(value, list):
        raise format_error(f"CSV is made of a list of rows, not of {called(value)}")
    kind = dict if value and isinstance(value[0], dict) else list
    for number, row in enumerate(value, start=1):
        if not isinstance(row, kind):
            wanted = "a mapping, as the first one is" if kind is dict else "a list"
            raise format_error(f"row {number} must be {wanted}, not {called(row)}")
    return value


def _used(rows: list[JSON]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: JSON, row: int, column: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        message = f"row {row}, column {column}: {called(value)} cannot stand in a cell"
        raise format_error(message, hint="Write it as text: ${{ json(…) }}.")
    return str(value)
