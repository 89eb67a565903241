"""What a document needs to exist elsewhere in the repository."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from schemas.connection import TYPES_OF_NODES
from schemas.pattern import JSON, written_blocks
from schemas.positions import Path, Positions
from schemas.template_text import OPENING


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Something that a document needs to exist elsewhere in the repository, and where it says so.

    `name` is a pattern's or a connection's name, an asset's path from the root, or a node's path or a variable of
    the pattern that a test tries; `version` is the frozen one that a call asks for; `types` are those that a
    connection may be of.
    """

    kind: Literal["pattern", "asset", "connection", "node", "variable"]
    name: str
    version: int | None = None
    types: tuple[str, ...] = ()
    line: int
    column: int


def references_of(kind: str, spec: JSON, positions: Positions) -> tuple[Reference, ...]:
    """All references of a `spec` that has the shape its schema asks for, in the order of the text."""
    if kind == "Pattern":
        return tuple(_called_and_read(spec["nodes"], ("spec", "nodes"), positions))
    if kind == "Deployment":
        line, column = positions.value_at(("spec", "pattern"))
        return (Reference(kind="pattern", name=spec["pattern"], line=line, column=column),)
    if kind == "PatternTest":
        return tuple(_tried(spec, positions))
    return ()


def _tried(spec: JSON, positions: Positions) -> Iterator[Reference]:
    line, column = positions.value_at(("spec", "pattern"))
    yield Reference(kind="pattern", name=spec["pattern"], line=line, column=column)
    for at, case in enumerate(spec["cases"]):
        path = ("spec", "cases", at)
        for name in case.get("variables", ()):
            line, column = positions.key_at((*path, "variables", name))
            yield Reference(kind="variable", name=name, line=line, column=column)
        for node, (line, column) in _nodes_named(case, path, positions):
            yield Reference(kind="node", name=node, line=line, column=column)


def _nodes_named(case: JSON, path: Path, positions: Positions) -> Iterator[tuple[str, tuple[int, int]]]:
    """The nodes that a case has something to say of."""
    for node in case.get("stubs", ()):
        yield node, positions.key_at((*path, "stubs", node))
    for node in case["expect"].get("nodes", ()):
        yield node, positions.key_at((*path, "expect", "nodes", node))
    for key in ("ran", "notRan"):
        for at, node in enumerate(case["expect"].get(key, ())):
            yield node, positions.value_at((*path, "expect", key, at))
    for at, event in enumerate(case.get("events", ())):
        for key in ("approve", "reject"):
            if key in event:
                yield event[key], positions.value_at((*path, "events", at, key))


def nodes_with_paths(listed: Sequence[JSON], at: Path) -> Iterator[tuple[JSON, Path]]:
    """Every node of a list as written, also nested, with its path in the document."""
    for index, node in enumerate(listed):
        here = (*at, index)
        yield node, here
        for block, nested in written_blocks(node):
            yield from nodes_with_paths(nested, (*here, *block))


def _called_and_read(listed: Sequence[JSON], at: Path, positions: Positions) -> Iterator[Reference]:
    for node, here in nodes_with_paths(listed, at):
        uses, inputs = node["uses"], node.get("with") or {}
        if uses == "call":
            line, column = positions.value_at((*here, "with", "pattern"))
            version = inputs.get("version")
            yield Reference(kind="pattern", name=inputs["pattern"], version=version, line=line, column=column)
        if uses in TYPES_OF_NODES and OPENING not in inputs.get("connection", OPENING):
            line, column = positions.value_at((*here, "with", "connection"))
            name, types = inputs["connection"], TYPES_OF_NODES[uses]
            yield Reference(kind="connection", name=name, types=types, line=line, column=column)
        for name, below in _assets(uses, inputs):
            line, column = positions.value_at((*here, "with", *below))
            yield Reference(kind="asset", name=name, line=line, column=column)


def _assets(uses: str, inputs: JSON) -> Iterator[tuple[str, Path]]:
    """The files that a node names, each with its place in the node's `with`."""
    if uses == "script" and "file" in inputs:
        yield inputs["file"], ("file",)
    elif uses == "shell":
        for index, name in enumerate(inputs.get("files", ())):
            yield name, ("files", index)
    elif uses == "http" and isinstance(inputs.get("tls"), dict) and "caFile" in inputs["tls"]:
        yield inputs["tls"]["caFile"], ("tls", "caFile")
