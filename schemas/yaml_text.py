"""Text → JSON-like values with positions, by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema).

The values are built straight from libyaml's events, in one pass. PyYAML's loaders are not used: the fast one
overflows the C stack on deeply nested text, both expand merge keys and accept duplicate keys, and both read
`no`, `012`, `1:30` and dates as something other than text.
"""

from __future__ import annotations

import math
import re
from array import array
from dataclasses import dataclass
from typing import Any, Final

import yaml
from yaml._yaml import CParser

from schemas.pattern import JSON
from schemas.positions import Positions
from schemas.problems import Problem

MAX_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 100
MAX_VALUES: Final = 50_000
_MOST_PROBLEMS: Final = 200

_TYPED_START: Final = frozenset("-+.0123456789tTfFnN~")
_CORE: Final = re.compile(
    r"(?P<null>null|Null|NULL|~)"
    r"|(?P<true>true|True|TRUE)|(?P<false>false|False|FALSE)"
    # A leading zero stays text: 007 is a part number more often than seven.
    r"|(?P<int>[-+]?(?:0|[1-9][0-9]*))|(?P<oct>0o[0-7]+)|(?P<hex>0x[0-9a-fA-F]+)"
    r"|(?P<float>[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<special>[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))"
)
_UNREADABLE: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufeff\uff00-\ufffd\U00010000-\U0010ffff]"
)


@dataclass(frozen=True, kw_only=True)
class YamlDocument:
    """One document of a file. `line` and `column`: where its first value stands; `flawed`: has problems."""

    value: JSON
    positions: Positions
    line: int
    column: int
    flawed: bool = False


@dataclass(frozen=True, kw_only=True)
class YamlFile:
    """All documents of a file that could be read, and what is wrong with the rest."""

    text: str
    documents: tuple[YamlDocument, ...]
    problems: tuple[Problem, ...]


def read_yaml(path: str, content: bytes) -> YamlFile:
    """The documents of a file. Never raises for bad content: mistakes are among the problems."""
    if len(content) > MAX_BYTES:
        return _refused(path, 1, 1, *_TOO_LARGE)
    try:
        text = content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        line, column = _place_at_end_of(before)
        return _refused(path, line, column, *_NOT_UTF8)
    return _Reader(path, text).read()


def is_typed(text: str) -> bool:
    """Whether a plain scalar of this text is something else than text."""
    return not text or (text[0] in _TYPED_START and _CORE.fullmatch(text) is not None)


_TOO_LARGE: Final = (
    "file-too-large",
    "the file is larger than 256 KiB",
    "Split it into several files, or keep the data in an asset that a script reads.",
)
_NOT_UTF8: Final = ("not-utf8", "the file is not UTF-8 text", "Save it with the encoding UTF-8.")


def _refused(path: str, line: int, column: int, code: str, message: str, hint: str) -> YamlFile:
    problem = Problem(path=path, line=line, column=column, code=code, message=message, hint=hint)
    return YamlFile(text="", documents=(), problems=(problem,))


def _place_at_end_of(before: str) -> tuple[int, int]:
    lines = before.split("\n")
    return len(lines), len(lines[-1]) + 1


class _Abandoned(Exception):
    """The rest of the file is not worth reading."""


class _Reader:
    """Builds the values of one file. Kept apart from the result: parser and event objects are heavy."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.next_event = CParser(text).get_event
        self.marks = array("Q")
        self.problems: list[Problem] = []
        self.documents: list[YamlDocument] = []

    def read(self) -> YamlFile:
        try:
            self._documents()
        except _Abandoned:
            pass
        except yaml.reader.ReaderError:
            self._unreadable_character()
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
        return YamlFile(text=self.text, documents=tuple(self.documents), problems=tuple(self.problems))

    def _documents(self) -> None:
        while True:
            event = self.next_event()
            kind = type(event)
            if kind is yaml.StreamEndEvent:
                return
            if kind is yaml.DocumentStartEvent:
                self._document(self.next_event())

    def _document(self, first: Any) -> None:
        self.marks = array("Q")
        known = len(self.problems)
        value = self._value(first, 0)
        empty = type(first) is yaml.ScalarEvent and first.value == "" and first.implicit[0]
        if not empty:
            mark = first.start_mark
            positions = Positions(value, self.marks, self.text)
            self.documents.append(
                YamlDocument(
                    value=value,
                    positions=positions,
                    line=mark.line + 1,
                    column=mark.column + 1,
                    flawed=len(self.problems) > known,
                )
            )

    def _value(self, event: Any, depth: int) -> JSON:
        self._mark(event)
        kind = type(event)
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if kind is yaml.AliasEvent:
            self._report(event, "yaml-alias", f"*{event.anchor} is a YAML alias", _NO_ALIAS)
            return None
        self._check_collection(event, depth)
        return self._mapping(depth + 1) if kind is yaml.MappingStartEvent else self._sequence(depth + 1)

    def _mark(self, event: Any) -> None:
        mark = event.start_mark
        self.marks.append(mark.line << 20 | mark.column)

    def _check_collection(self, event: Any, depth: int) -> None:
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        if depth >= MAX_DEPTH:
            self._report(event, "yaml-too-deep", f"values are nested more than {MAX_DEPTH} deep", _FLATTEN)
            raise _Abandoned
        if len(self.marks) > MAX_VALUES:
            self._report(
                event, "yaml-too-many-values", f"the file holds more than {MAX_VALUES} values", _SPLIT
            )
            raise _Abandoned

    def _sequence(self, depth: int) -> list[JSON]:
        values: list[JSON] = []
        while True:
            event = self.next_event()
            if type(event) is yaml.SequenceEndEvent:
                return values
            self._count(event)
            values.append(self._value(event, depth))

    def _mapping(self, depth: int) -> dict[str, JSON]:
        values: dict[str, JSON] = {}
        while True:
            event = self.next_event()
            if type(event) is yaml.MappingEndEvent:
                return values
            self._count(event)
            before = len(self.marks)
            key = self._key(event, depth)
            value = self._value(self.next_event(), depth)
            if key is not None and key not in values:
                values[key] = value
                continue
            # The first one stays, so that marks and values keep running in step.
            del self.marks[before:]
            if key is not None:
                self._report(event, "duplicate-key", f"the key {key!r:.80} stands here twice", _ONE_OF_THEM)

    def _count(self, event: Any) -> None:
        """Give up on a file that is too large, or that holds nothing but problems."""
        if len(self.problems) > _MOST_PROBLEMS:
            raise _Abandoned
        if len(self.marks) > MAX_VALUES:
            self._report(
                event, "yaml-too-many-values", f"the file holds more than {MAX_VALUES} values", _SPLIT
            )
            raise _Abandoned

    def _key(self, event: Any, depth: int) -> str | None:
        """The text of a key, or None for one that cannot be kept."""
        if type(event) is not yaml.ScalarEvent:
            self._value(event, depth)
            if type(event) is not yaml.AliasEvent:
                self._report(
                    event, "yaml-key-not-text", "a key must be text, not a list or a mapping", _PLAIN_KEY
                )
            return None
        self._mark(event)
        text: str = event.value
        known = len(self.problems)
        if isinstance(self._scalar(event), str) and text != "<<":
            return text
        if text == "<<" and event.implicit[0]:
            self._report(event, "yaml-merge-key", "`<<` (a YAML merge key) is not supported", _NO_MERGE)
            return None
        if text != "<<" and len(self.problems) == known:
            message = f"a key must be text, and {text or 'nothing'} is not"
            self._report(event, "yaml-key-not-text", message, f'Write "{text}" in quotes.')
        return text

    def _scalar(self, event: Any) -> JSON:
        text: str = event.value
        if event.anchor is not None or event.tag is not None:
            self._refuse_properties(event)
        if not event.implicit[0]:
            if "\0" in text:
                self._report(event, "yaml-control-character", "the text holds a NUL character", _NO_NUL)
            return text
        if not text:
            return None
        if text[0] not in _TYPED_START:
            return text
        match = _CORE.fullmatch(text)
        return text if match is None else self._typed(event, match.lastgroup, text)

    def _typed(self, event: Any, group: str | None, text: str) -> JSON:
        if group == "null":
            return None
        if group in {"true", "false"}:
            return group == "true"
        number = _number(group, text)
        if number is None:
            self._report(
                event, "number-out-of-range", f"{text:.40} is not a number that JSON can carry", _QUOTE_NUMBER
            )
        return number

    def _refuse_properties(self, event: Any) -> None:
        if event.anchor is not None:
            self._report(event, "yaml-alias", f"&{event.anchor} is a YAML anchor", _NO_ALIAS)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._report(event, "yaml-tag", f"{tag} is a YAML tag", _NO_TAG)

    def _report(self, event: Any, code: str, message: str, hint: str) -> None:
        mark = event.start_mark
        self._add(mark.line + 1, mark.column + 1, code, message, hint)

    def _add(self, line: int, column: int, code: str, message: str, hint: str) -> None:
        self.problems.append(
            Problem(path=self.path, line=line, column=column, code=code, message=message, hint=hint)
        )

    def _unreadable_character(self) -> None:
        found = _UNREADABLE.search(self.text)
        line, column = _place_at_end_of(self.text[: found.start()] if found else "")
        character = f"U+{ord(found[0]):04X}" if found else "a character that cannot be printed"
        self._add(
            line, column, "yaml-control-character", f"the file holds {character}, which YAML forbids", _NO_NUL
        )

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        parts = [part for part in (error.context, error.problem) if part]
        self._add(
            line,
            column,
            "yaml-syntax",
            "; ".join(parts) or "the YAML cannot be read",
            self._syntax_hint(line),
        )

    def _syntax_hint(self, line: int) -> str:
        lines = self.text.splitlines()
        near = "\n".join(lines[max(line - 2, 0) : line])
        if "${{" in near:
            return 'Put the value that holds the expression in quotes: key: "${{ … }}".'
        if "\t" in near:
            return "YAML is indented by spaces: replace the tab."
        return "Check the indentation, and put text that holds `: `, ` #` or brackets in quotes."


def _number(group: str | None, text: str) -> int | float | None:
    if group == "float":
        number = float(text)
        return number if math.isfinite(number) else None
    if group == "special" or len(text) > 40:
        return None
    integer = int(text, {"int": 10, "oct": 8, "hex": 16}[group or "int"])
    return integer if -(2**63) <= integer < 2**63 else None


_NO_ALIAS: Final = "Write the value out where it is needed; anchors and aliases are not supported."
_NO_MERGE: Final = "Write the keys out where they are needed."
_NO_TAG: Final = "Remove the tag; put text that looks like something else in quotes."
_NO_NUL: Final = "Remove the character."
_PLAIN_KEY: Final = "Write a plain word before the colon."
_ONE_OF_THEM: Final = "Keep one of the two."
_QUOTE_NUMBER: Final = (
    "Put it in quotes if it is text; integers have 64 bits, and infinity and NaN do not exist in JSON."
)
_SPLIT: Final = "Split it into several files, or keep the data in an asset that a script reads."
_FLATTEN: Final = "Flatten it; a document may be nested 100 deep."
