"""Columns as PostgreSQL's arrays, in its text form."""

from __future__ import annotations

from collections.abc import Iterable


def plain(values: Iterable[object]) -> str:
    """An array of numbers, ids or words of ours: never of text from outside, which has to be quoted."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """An array of any text."""
    return "{" + ",".join(["NULL" if value is None else _quoted(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
