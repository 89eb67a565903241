"""Two JSON values beside each other, line by line, with a mark where they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import SequenceMatcher
from itertools import zip_longest

from schemas.pattern import JSON

NARROW = 36
"""Columns that each side has at least."""

SAME, DIFFERENT = "│", "≠"


def side_by_side(expected: JSON, actual: JSON, width: int = NARROW) -> list[str]:
    """The lines of a table with the heads `expected` and `actual`. Nothing is cut: long lines are wrapped."""
    open_ = any(len(_flat(one)) > width for one in (expected, actual))
    left, right = (list(_lines(one, width, "", open_=open_)) for one in (expected, actual))
    rows = list(_rows(left, right, width))
    column = max(len("expected"), *(len(one) for one, _, _ in rows))
    head = f"{'expected':{column}} {SAME} actual"
    return [head, *(f"{one:{column}} {mark} {other}".rstrip() for one, mark, other in rows)]


def _rows(left: list[str], right: list[str], width: int) -> Iterator[tuple[str, str, str]]:
    for kind, a, b, c, d in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        mark = SAME if kind == "equal" else DIFFERENT
        for one, other in zip_longest(left[a:b], right[c:d], fillvalue=""):
            for part, beside in zip_longest(_wrapped(one, width), _wrapped(other, width), fillvalue=""):
                yield part, mark, beside


def _lines(value: JSON, width: int, indent: str, head: str = "", *, open_: bool = False) -> Iterator[str]:
    """What fits into a line, with the key that is its `head`, is one. `open_`: it is spread all the same."""
    flat = f"{indent}{head}{_flat(value)}"
    if not isinstance(value, dict | list) or not value or not (open_ or len(flat) > width):
        yield flat
        return
    keyed = (
        [(f"{_flat(key)}: ", one) for key, one in sorted(value.items())] if isinstance(value, dict) else None
    )
    brackets = "[]" if keyed is None else "{}"
    yield f"{indent}{head}{brackets[0]}"
    for key, one in [("", one) for one in value] if keyed is None else keyed:
        yield from _lines(one, width, f"{indent}  ", key)
    yield f"{indent}{brackets[1]}"


def _flat(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _wrapped(line: str, width: int) -> list[str]:
    return [line[at : at + width] for at in range(0, len(line), width)] or [""]
