"""Where each value of a YAML document stands. Kept as one array of numbers, unfolded when somebody asks."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from schemas.pattern import JSON

Path: TypeAlias = Sequence[str | int]
"""The way from a document's root to a value: keys and indexes."""

_COUNTED_OUT: Final = 3
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what libyaml counts as one


class _Place(NamedTuple):
    mark: int
    key_mark: int
    children: Mapping[str | int, _Place]


_NOTHING: Final[Mapping[str | int, _Place]] = {}


class Positions:
    """Lines and columns, from 1, of the values of one document.

    `marks` holds `line << 20 | column`, from 0, of every key and value in the order of the text.
    """

    def __init__(self, value: JSON, marks: array[int], text: str) -> None:
        self._value = value
        self._marks = marks
        self._text = text
        self._lines: list[str] | None = None
        self._root: _Place | None = None
        self._asked = 0

    def value_at(self, path: Path) -> tuple[int, int]:
        """Where the value starts; the nearest enclosing one where the path leads nowhere."""
        return _unpacked(self._place(path)[0])

    def key_at(self, path: Path) -> tuple[int, int]:
        """Where the key of the value starts (for an item of a list, the item itself)."""
        return _unpacked(self._place(path)[1])

    def inside(self, path: Path, source: str, nth: int, at: tuple[int, int]) -> tuple[int, int]:
        """The place of `at`, a line and a column within `source`, the nth `${{ … }}` of the string at `path`.

        Exact for plain, quoted and block text; where escapes make the raw text differ it is near.
        """
        raw_line, raw_column = self.value_at(path)
        if self._lines is None:
            self._lines = _LINE_BREAK.split(self._text)
        lines = self._lines
        raw = "\n".join([lines[raw_line - 1][raw_column - 1 :], *lines[raw_line : raw_line + 2000]])
        start = -1
        for _ in range(nth + 1):
            start = raw.find("${{", start + 1)
            if start < 0:
                return raw_line, raw_column
        end = _walk(raw, start + 3, source, _offset(source, *at))
        before = raw[:end].split("\n")
        if len(before) == 1:
            return raw_line, raw_column + end
        return raw_line + len(before) - 1, len(before[-1]) + 1

    def _place(self, path: Path) -> tuple[int, int]:
        """The marks of a value and of its key. A few are counted out; for more the tree is worth its cost."""
        self._asked += 1
        if self._asked <= _COUNTED_OUT:
            return _counted(self._value, self._marks, path)
        if self._root is None:
            self._root = _unfold(self._value, iter(self._marks))
        place = self._root
        for step in path:
            child = place.children.get(step)
            if child is None:
                break
            place = child
        return place.mark, place.key_mark


def _counted(value: JSON, marks: array[int], path: Path) -> tuple[int, int]:
    """Walks along the path, counting the marks of all that stands before it."""
    at = key_at = 0
    for step in path:
        known = isinstance(value, dict) and step in value
        if not known and not (isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value)):
            break
        at += 1
        if isinstance(value, dict):
            for key, child in value.items():
                if key == step:
                    break
                at += 1 + _size(child)
            at, key_at = at + 1, at
        else:
            at += sum(_size(child) for child in value[:step])
            key_at = at
        value = value[step]
    return marks[at], marks[key_at]


def _size(value: JSON) -> int:
    """How many marks a value has."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(_size(child) for child in value.values())
    return 1 + sum(_size(child) for child in value) if isinstance(value, list) else 1


def _unpacked(mark: int) -> tuple[int, int]:
    return (mark >> 20) + 1, (mark & 0xFFFFF) + 1


def _unfold(value: JSON, marks: Iterator[int], key_mark: int | None = None) -> _Place:
    mark = next(marks)
    children = _NOTHING
    if isinstance(value, dict):
        children = {key: _unfold(child, marks, next(marks)) for key, child in value.items()}
    elif isinstance(value, list):
        children = {index: _unfold(child, marks) for index, child in enumerate(value)}
    return _Place(mark, mark if key_mark is None else key_mark, children)


def _offset(source: str, line: int, column: int) -> int:
    lines = source.split("\n")
    return sum(len(one) + 1 for one in lines[: line - 1]) + column - 1


def _walk(raw: str, at: int, source: str, length: int) -> int:
    """The index in `raw` of the character `length` of `source`, both walked together from `at`.

    What stands only in `raw` (indentation, folded line breaks, the backslash of an escape) is stepped over.
    """
    for character in source[:length]:
        while at < len(raw) and raw[at] != character:
            at += 1
        at += 1
    while at < len(raw) and length < len(source) and raw[at] != source[length]:
        at += 1
    return min(at, len(raw))
