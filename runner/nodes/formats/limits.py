"""How much a text or a value may hold, and the errors that say what is wrong with one."""

from __future__ import annotations

from typing import Final

from runner.nodes.base import NodeError
from schemas.pattern import JSON

MAX_TEXT: Final = 8 * 1024 * 1024  # characters
MAX_CELLS: Final = 1_000_000  # of CSV; small ones take much more memory than their text
MAX_ELEMENTS: Final = 250_000  # and attributes, of XML
MAX_DEPTH: Final = 100  # as in the files of a repository

_WORDS: Final = {dict: "a mapping", list: "a list", bool: "true or false", type(None): "null", str: "text"}


def parse_error(message: str, *, line: int = 0, column: int = 0, hint: str = "") -> NodeError:
    """`line` and `column` count from 1; 0 is unknown."""
    place = f"line {line}{f', column {column}' if column else ''}: " if line else ""
    return NodeError("parse_error", f"{place}{message}", hint=hint, retryable=False)


def format_error(message: str, *, hint: str = "") -> NodeError:
    return NodeError("format_error", message, hint=hint, retryable=False)


def called(value: JSON) -> str:
    """What kind of value it is, in words."""
    return _WORDS.get(type(value), "a number")


def too_deep(value: JSON) -> bool:
    """Whether mappings and lists are nested more than `MAX_DEPTH` deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for one in level for inner in _inside(one) if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _inside(value: JSON) -> list[JSON]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
