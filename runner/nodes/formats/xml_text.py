"""XML 1.0 and its mapping to JSON. Document type declarations are refused, and with them every entity of one's own.

An element is text when it has neither attributes nor elements in it, else a mapping: attributes as "@name",
elements by their names (those that come several times as a list, in order), text as "#text". Names keep their
prefixes. The document is a mapping with the root's name. Comments and processing instructions are left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import escape

from runner.nodes.formats.limits import MAX_DEPTH, MAX_ELEMENTS, called, format_error, parse_error, too_deep
from schemas.pattern import JSON

_TEXT: Final = "#text"
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_START: Final = (
    ":A-Z_a-z\xc0-\xd6\xd8-\xf6\xf8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
)
_NAME: Final = re.compile(f"[{_START}][{_START}.0-9\xb7\u0300-\u036f\u203f\u2040-]*")  # as expat has it
_KEPT_IN_TEXT: Final = {"\r": "&#13;"}
_KEPT_IN_ATTRIBUTES: Final = {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


def read_xml(text: str, *, lists: Collection[str] = ()) -> JSON:
    """`lists`: names of elements that are lists even where there is one."""
    reader = _Reader(frozenset(map(str, lists)))
    # The encoding given here beats that of the declaration: what we have is text already.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reader.refuse_declaration
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.add_text
    reader.parser = parser
    try:
        parser.Parse(text.removeprefix("\ufeff").encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError as error:
        raise parse_error(
            expat.ErrorString(error.code), line=error.lineno, column=error.offset + 1
        ) from error
    return reader.document


class _Reader:
    def __init__(self, lists: frozenset[str]) -> None:
        self.parser: Any = None
        self.document: dict[str, JSON] = {}
        self._lists = lists
        self._elements = 0
        self._open: list[tuple[str, dict[str, JSON], list[str]]] = []  # name, content, texts

    def refuse_declaration(self, *_: object) -> None:
        raise self._error("document type declarations are refused", "Take <!DOCTYPE …> out.")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._elements += 1 + len(attributes)
        if len(self._open) >= MAX_DEPTH - 1:
            raise self._error(f"elements are nested more than {MAX_DEPTH - 1} deep")
        if self._elements > MAX_ELEMENTS:
            raise self._error(f"there are more than {MAX_ELEMENTS:,} elements and attributes")
        self._open.append((name, {f"@{key}": value for key, value in attributes.items()}, []))

    def add_text(self, text: str) -> None:
        self._open[-1][2].append(text)

    def end(self, name: str) -> None:
        _, content, texts = self._open.pop()
        value = _element(content, "".join(texts))
        outer = self._open[-1][1] if self._open else self.document
        if name not in outer:
            outer[name] = [value] if name in self._lists and self._open else value
        elif isinstance(outer[name], list):
            outer[name].append(value)
        else:
            outer[name] = [outer[name], value]

    def _error(self, message: str, hint: str = "") -> Exception:
        line, column = self.parser.CurrentLineNumber, self.parser.CurrentColumnNumber + 1
        return parse_error(message, line=line, column=column, hint=hint)


def _element(content: dict[str, JSON], text: str) -> JSON:
    if any(not key.startswith("@") for key in content):
        text = text.strip()  # between elements, space is there for the eye
    if not content:
        return text
    return content | {_TEXT: text} if text else content


def write_xml(value: JSON) -> str:
    """The inverse. Numbers, true and false become text; null, "" and {} an empty element; [] none."""
    if not isinstance(value, dict) or len(value) != 1:
        raise format_error("XML is made of a mapping with one key, the root element's name")
    if too_deep(value):
        raise format_error(f"values are nested more than {MAX_DEPTH} deep")
    ((name, root),) = value.items()
    if isinstance(root, list):
        raise format_error(f'"{name:.80}" is the root, of which there is one: it cannot be a list')
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{"".join(_elements(name, root))}'


def _elements(name: str, value: JSON) -> Iterator[str]:
    if isinstance(value, list):
        for one in value:
            if isinstance(one, list):
                raise format_error(f'"{name:.80}": XML has no list within a list')
            yield from _elements(name, one)
        return
    _check_name(name)
    content = value if isinstance(value, dict) else {_TEXT: value}
    attributes = "".join(_attribute(key[1:], one) for key, one in content.items() if key.startswith("@"))
    inside = "".join(_content(content))
    yield f"<{name}{attributes}>{inside}</{name}>" if inside else f"<{name}{attributes}/>"


def _content(content: dict[str, JSON]) -> Iterator[str]:
    if _TEXT in content:
        yield escape(_plain(content[_TEXT], _TEXT), _KEPT_IN_TEXT)
    for key, value in content.items():
        if key != _TEXT and not key.startswith("@"):
            yield from _elements(key, value)


def _attribute(name: str, value: JSON) -> str:
    _check_name(name)
    return f' {name}="{escape(_plain(value, f"@{name}"), _KEPT_IN_ATTRIBUTES)}"'


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise format_error(
            f"{name!r:.80} cannot be a name in XML", hint="Letters, digits, `_`, `-`, `.` and `:`."
        )


def _plain(value: JSON, key: str) -> str:
    if isinstance(value, dict | list):
        raise format_error(f'"{key}" must be text, not {called(value)}')
    if value is None or isinstance(value, bool):
        return {None: "", True: "true", False: "false"}[value]
    text = str(value)
    if found := _FORBIDDEN.search(text):
        raise format_error(f'"{key}" holds U+{ord(found[0]):04X}, which XML forbids', hint="Remove it.")
    return text
