"""Changing one value of a YAML file and nothing else: pure, text in and text out.

A round trip through a YAML library keeps comments and order, but not odd indentation, quotes and line ends. So the
places of the values are taken from the parser, and the text is cut and joined there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml

from schemas.documents import Kind
from schemas.pattern import JSON
from schemas.yaml_text import read_yaml

_PLAIN = re.compile(r"[A-Za-z_/][\w./*-]*")
_WORDS = frozenset({"true", "false", "null"})
_BREAK = re.compile(r"\r\n|\r|\n")
_SEPARATOR = re.compile(r"\A---[ \t]*\r?\n")
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor, a tag


class EditError(Exception):
    """The file is written in a way that cannot be changed in place: the message says what to do instead."""


class Target(NamedTuple):
    """One document of a file."""

    kind: Kind
    name: str


def set_value(text: str, target: Target, path: Sequence[str], value: JSON, *, behind: str) -> str:
    """The file with `value` at `path` of the document; nothing else of it changes.

    What is there is replaced in place; a key that is not there gets a line of its own behind the key `behind` of
    the same mapping. Raises EditError.
    """
    document = _find(text, target)
    mapping = _mapping_at(document.root, path[:-1])
    entry = _entry(mapping, path[-1])
    if entry is None:
        changed = _inserted(text, mapping, f"{path[-1]}: {written(value)}", behind)
    else:
        changed = _replaced(text, entry[1], value)
    _check(text, changed, document.number, (path, value))
    return changed


def remove_document(text: str, target: Target) -> str | None:
    """The file without the document; None where it holds no other. Raises EditError."""
    documents = _documents(text)
    start, end = _extent(text, documents, target)
    return None if len(documents) == 1 else text[:start] + text[end:]


def renamed_copy(text: str, target: Target, name: str) -> str:
    """The document alone, for a file of its own, under another name. Raises EditError."""
    return set_value(document_alone(text, target), target, ("metadata", "name"), name, behind="title")


def document_alone(text: str, target: Target) -> str:
    """The document with the comments before it, for a file of its own. Raises EditError."""
    start, end = _extent(text, _documents(text), target)
    return _SEPARATOR.sub("", text[start:end], count=1)


def replaced_document(text: str, target: Target, alone: str) -> str:
    """The file with another text for one of its documents. Raises EditError."""
    documents = _documents(text)
    start, end = _extent(text, documents, target)
    changed = _joined(text[:start], alone, text[end:])
    values, (new,) = list(_values(text)), _values(alone)
    values[_find(text, target).number] = new
    return _held_to(changed, values)


def added_document(text: str, _target: Target, alone: str) -> str:
    """The file with one more document at its end. Raises EditError."""
    return _held_to(_joined(text, alone, ""), [*_values(text), *_values(alone)])


def _joined(before: str, alone: str, after: str) -> str:
    if before.strip() and not alone.startswith("---"):
        alone = f"---{_newline(before)}{alone}"
    return "".join(_ended(part) for part in (before, alone)) + after


def _newline(text: str) -> str:
    found = _BREAK.search(text)
    return found[0] if found else "\n"


def _ended(text: str) -> str:
    return text if not text or text.endswith(("\n", "\r")) else text + _newline(text)


def _held_to(text: str, values: Sequence[JSON]) -> str:
    """The text, if it says that. Raises EditError."""
    if list(_values(text)) != list(values):
        raise EditError("the document cannot be put there beside the others: give it a file of its own")
    return text


def written(value: JSON) -> str:
    """A value as people write it in one line: words without quotes, mappings and lists in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(key)}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Document:
    """`begins`: where its `---` stands, or its first token."""

    number: int
    begins: int
    root: Any

    def is_(self, target: Target) -> bool:
        kind, name = _scalar_at(self.root, ("kind",)), _scalar_at(self.root, ("metadata", "name"))
        return (kind, name) == (str(target.kind), target.name)


def _documents(text: str) -> list[_Document]:
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        starts = [one.start_mark for one in events if isinstance(one, yaml.DocumentStartEvent)]
        roots = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise EditError(f"it is not YAML: {error}") from error
    return [
        _Document(number=number, begins=at.index if at else 0, root=root)
        for number, (at, root) in enumerate(zip(starts, roots, strict=True))
    ]


def _find(text: str, target: Target) -> _Document:
    found = next((document for document in _documents(text) if document.is_(target)), None)
    if found is None:
        raise EditError(f"there is no {target.kind} {target.name} in it")
    return found


def _extent(text: str, documents: Sequence[_Document], target: Target) -> tuple[int, int]:
    """From the document's separator (of the first one from the file's beginning) to the next one's."""
    number = next((document.number for document in documents if document.is_(target)), None)
    if number is None:
        raise EditError(f"there is no {target.kind} {target.name} in it")
    starts = [0, *(text.rfind("\n", 0, document.begins) + 1 for document in documents[1:]), len(text)]
    return starts[number], starts[number + 1]


def _entry(mapping: Any, key: str) -> tuple[Any, Any] | None:
    return next((pair for pair in mapping.value if pair[0].value == key), None)


def _mapping_at(root: Any, path: Sequence[str]) -> Any:
    for key in path:
        entry = _entry(root, key) if isinstance(root, yaml.MappingNode) else None
        if entry is None:
            raise EditError(f"it has no {key}")
        root = entry[1]
    if not isinstance(root, yaml.MappingNode):
        raise EditError(f"{'.'.join(path)} is no mapping")
    return root


def _scalar_at(root: Any, path: Sequence[str]) -> str | None:
    for key in path:
        entry = _entry(root, key) if isinstance(root, yaml.MappingNode) else None
        if entry is None:
            return None
        root = entry[1]
    return str(root.value) if isinstance(root, yaml.ScalarNode) else None


def _replaced(text: str, node: Any, value: JSON) -> str:
    pair = _single(node)
    if pair is not None and isinstance(value, Mapping) and len(value) == 1:
        # `branch: main` becomes `version: 3` where it stands, be it in braces or on a line of its own.
        ((key, one),) = value.items()
        return _replaced(_replaced(text, pair[1], one), pair[0], key)
    start, end = node.start_mark.index, _end(node)
    start += _PROPERTIES.match(text[start:end]).end()  # type: ignore[union-attr]  # it matches nothing, too
    quote = text[start : start + 1]
    new = written(value)
    if isinstance(value, str) and quote in ("'", '"') and new == value:
        new = f"{quote}{value}{quote}"
    return text[:start] + new + text[end:]


def _single(node: Any) -> tuple[Any, Any] | None:
    """The one pair of a mapping that has no other, both of them scalars."""
    if not isinstance(node, yaml.MappingNode) or len(node.value) != 1:
        return None
    key, value = node.value[0]
    return (key, value) if isinstance(value, yaml.ScalarNode) else None


def _inserted(text: str, mapping: Any, line: str, behind: str) -> str:
    if not mapping.value:
        raise EditError("there is an empty mapping where the new key belongs: write the key yourself")
    key, value = _entry(mapping, behind) or mapping.value[0]
    end = _end(value)
    if mapping.flow_style:
        return f"{text[:end]}, {line}{text[end:]}"
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    indentation = text[start : key.start_mark.index]
    if indentation.strip():
        raise EditError(f"something stands before {key.value} in its line: write the new key yourself")
    found = _BREAK.search(text, end)
    if found is None:
        return f"{text}{_newline(text)}{indentation}{line}"
    return f"{text[: found.end()]}{indentation}{line}{found[0]}{text[found.end() :]}"


def _end(node: Any) -> int:
    """Behind the last character of a value. (The parser's own end of a block is where the next token begins.)"""
    if isinstance(node, yaml.ScalarNode):
        if node.style in ("|", ">"):
            raise EditError("a block of text stands before the place of the new key: write the key yourself")
        return int(node.end_mark.index)
    if node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(node, yaml.MappingNode) else last)


def _check(before: str, after: str, number: int, change: tuple[Sequence[str], JSON]) -> None:
    """That the documents now say what was wanted, and whatever they said else."""
    wanted, found = (list(_values(text)) for text in (before, after))
    path, value = change
    at = wanted[number]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    if wanted != found:
        raise EditError(f"{'.'.join(path)} cannot be changed in place: change it yourself")


def _values(text: str) -> Iterator[JSON]:
    return (document.value for document in read_yaml("", text.encode()).documents)
