"""The documents of a YAML file as trees of nodes that know their places in its text: pure."""

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
# What YAML forbids, or takes for a line break.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_WORDS = frozenset({"true", "false", "null"})
BREAK = re.compile(r"\r\n|\r|\n")
SEPARATOR = re.compile(r"\A---[ \t]*\r?\n")


class EditError(Exception):
    """The file is written in a way that cannot be changed in place: the message says what to do instead."""


class Target(NamedTuple):
    """One document of a file."""

    kind: Kind
    name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class DocumentNode:
    """`begins`: where its `---` stands, or its first token."""

    number: int
    begins: int
    root: Any

    def is_(self, target: Target) -> bool:
        kind, name = scalar_at(self.root, ("kind",)), scalar_at(self.root, ("metadata", "name"))
        return (kind, name) == (str(target.kind), target.name)


def document_nodes(text: str) -> list[DocumentNode]:
    """Raises EditError."""
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        starts = [one.start_mark for one in events if isinstance(one, yaml.DocumentStartEvent)]
        roots = list(yaml.compose_all(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        raise EditError(f"it is not YAML: {error}") from error
    return [
        DocumentNode(number=number, begins=at.index if at else 0, root=root)
        for number, (at, root) in enumerate(zip(starts, roots, strict=True))
    ]


def find_document(text: str, target: Target) -> DocumentNode:
    """Raises EditError where it is not there, or the text is not YAML."""
    found = next((document for document in document_nodes(text) if document.is_(target)), None)
    if found is None:
        raise EditError(f"there is no {target.kind} {target.name} in it")
    return found


def document_extent(text: str, documents: Sequence[DocumentNode], target: Target) -> tuple[int, int]:
    """From the document's separator (of the first one from the file's beginning) to the next one's."""
    number = next((document.number for document in documents if document.is_(target)), None)
    if number is None:
        raise EditError(f"there is no {target.kind} {target.name} in it")
    starts = [0, *(text.rfind("\n", 0, document.begins) + 1 for document in documents[1:]), len(text)]
    return starts[number], starts[number + 1]


def pair_at(mapping: Any, key: str) -> tuple[Any, Any] | None:
    """The nodes of a key and its value."""
    return next((pair for pair in mapping.value if pair[0].value == key), None)


def mapping_at(root: Any, path: Sequence[str]) -> Any:
    """The node of the mapping under these keys. Raises EditError where there is none."""
    for key in path:
        entry = pair_at(root, key) if isinstance(root, yaml.MappingNode) else None
        if entry is None:
            raise EditError(f"it has no {key}")
        root = entry[1]
    if not isinstance(root, yaml.MappingNode):
        raise EditError(f"{'.'.join(path)} is no mapping")
    return root


def scalar_at(root: Any, path: Sequence[str]) -> str | None:
    """The text of the scalar under these keys, whatever its type is."""
    for key in path:
        entry = pair_at(root, key) if isinstance(root, yaml.MappingNode) else None
        if entry is None:
            return None
        root = entry[1]
    return str(root.value) if isinstance(root, yaml.ScalarNode) else None


def newline(text: str) -> str:
    """The line break that a file uses: its first one."""
    found = BREAK.search(text)
    return found[0] if found else "\n"


def values_of(text: str) -> Iterator[JSON]:
    """What its documents say, one after the other."""
    return (document.value for document in read_yaml("", text.encode()).documents)


def written(value: JSON) -> str:
    """A value as people write it in one line: words without quotes, mappings and lists in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{written(key)}: {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda one: f"\\u{ord(one[0]):04x}", text)
