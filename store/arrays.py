"""Columns as PostgreSQL's arrays. psycopg finds out the type of a list and dumps it element by element, which costs
more than the statement; what needs no quoting is joined instead.
"""

from __future__ import annotations

from collections.abc import Sequence


def plain(values: Sequence[object]) -> str:
    """An array of numbers, ids or words of ours (never of text from outside, which would have to be quoted)."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Sequence[str | None]) -> list[str | None] | str:
    """An array of any text, for psycopg to dump; or what is cheaper where there is none at all."""
    return list(values) if any(value is not None for value in values) else plain(values)
