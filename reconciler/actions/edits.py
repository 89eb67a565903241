"""Changing one value of a YAML file and nothing else: pure, text in and text out.

A round trip through a YAML library keeps comments and order, but not odd indentation, quotes and line ends. So the
places of the values are taken from the parser, and the text is cut and joined there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from reconciler.actions.document_nodes import (
    BREAK,
    SEPARATOR,
    EditError,
    Target,
    document_extent,
    document_nodes,
    find_document,
    mapping_at,
    newline,
    pair_at,
    values_of,
    written,
)
from schemas.pattern import JSON

__all__ = [
    "EditError",
    "Target",
    "added_document",
    "document_alone",
    "remove_document",
    "renamed_copy",
    "replaced_document",
    "set_value",
    "written",
]

_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor, a tag


def set_value(text: str, target: Target, path: Sequence[str], value: JSON, *, behind: str) -> str:
    """The file with `value` at `path` of the document; nothing else of it changes.

    What is there is replaced in place; a key that is not there gets a line of its own behind the key `behind` of
    the same mapping. Raises EditError.
    """
    document = find_document(text, target)
    mapping = mapping_at(document.root, path[:-1])
    entry = pair_at(mapping, path[-1])
    if entry is None:
        changed = _inserted(text, mapping, f"{path[-1]}: {written(value)}", behind)
    else:
        changed = _replaced(text, entry[1], value)
    _check(text, changed, document.number, (path, value))
    return changed


def remove_document(text: str, target: Target) -> str | None:
    """The file without the document; None where it holds no other. Raises EditError."""
    documents = document_nodes(text)
    start, end = document_extent(text, documents, target)
    return None if len(documents) == 1 else text[:start] + text[end:]


def renamed_copy(text: str, target: Target, name: str) -> str:
    """The document alone, for a file of its own, under another name. Raises EditError."""
    return set_value(document_alone(text, target), target, ("metadata", "name"), name, behind="title")


def document_alone(text: str, target: Target) -> str:
    """The document with the comments before it, for a file of its own. Raises EditError."""
    start, end = document_extent(text, document_nodes(text), target)
    return SEPARATOR.sub("", text[start:end], count=1)


def replaced_document(text: str, target: Target, alone: str) -> str:
    """The file with another text for one of its documents. Raises EditError."""
    documents = document_nodes(text)
    start, end = document_extent(text, documents, target)
    changed = _joined(text[:start], alone, text[end:])
    values, (new,) = list(values_of(text)), values_of(alone)
    values[find_document(text, target).number] = new
    return _held_to(changed, values)


def added_document(text: str, _target: Target, alone: str) -> str:
    """The file with one more document at its end. Raises EditError."""
    return _held_to(_joined(text, alone, ""), [*values_of(text), *values_of(alone)])


def _joined(before: str, alone: str, after: str) -> str:
    if before.strip() and not alone.startswith("---"):
        alone = f"---{newline(before)}{alone}"
    return "".join(_ended(part) for part in (before, alone)) + after


def _ended(text: str) -> str:
    return text if not text or text.endswith(("\n", "\r")) else text + newline(text)


def _held_to(text: str, values: Sequence[JSON]) -> str:
    """The text, if it says that. Raises EditError."""
    if list(values_of(text)) != list(values):
        raise EditError("the document cannot be put there beside the others: give it a file of its own")
    return text


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
    key, value = pair_at(mapping, behind) or mapping.value[0]
    end = _end(value)
    if mapping.flow_style:
        return f"{text[:end]}, {line}{text[end:]}"
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    indentation = text[start : key.start_mark.index]
    if indentation.strip():
        raise EditError(f"something stands before {key.value} in its line: write the new key yourself")
    found = BREAK.search(text, end)
    if found is None:
        return f"{text}{newline(text)}{indentation}{line}"
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
    wanted, found = (list(values_of(text)) for text in (before, after))
    path, value = change
    at = wanted[number]
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    if wanted != found:
        raise EditError(f"{'.'.join(path)} cannot be changed in place: change it yourself")
