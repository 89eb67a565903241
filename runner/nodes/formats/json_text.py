"""JSON (RFC 8259)."""

from __future__ import annotations

import orjson

from runner.nodes.formats.limits import MAX_DEPTH, format_error, parse_error, too_deep
from schemas.pattern import JSON


def read_json(text: str) -> JSON:
    """Of two equal keys the last one counts; an integer past 64 bits becomes a floating-point number."""
    try:
        value = orjson.loads(text.removeprefix("\ufeff"))
    except orjson.JSONDecodeError as error:
        raise parse_error(error.msg, line=error.lineno, column=error.colno) from error
    if too_deep(value):
        raise parse_error(f"values are nested more than {MAX_DEPTH} deep")
    return value


def write_json(value: JSON, *, indent: bool = False) -> str:
    """Without spaces, or with an indentation of two."""
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else 0).decode()
    except TypeError as error:
        raise format_error(f"the value is not JSON: {error}") from error
