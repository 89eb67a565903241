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

    `name` is a pattern's or a connection's name, or an asset's path from the root; `version` is the frozen one
    that a call asks for; `types` are those that a connection may be of.
    """

    kind: Literal["pattern", "asset", "connection"]
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
    return ()


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
