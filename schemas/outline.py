"""The nodes of a pattern as far as they can be understood, so that one mistake does not hide the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from schemas.pattern import BLOCKS, FLOW_KEYS, JSON
from schemas.template_text import OPENING

Path: TypeAlias = tuple[str | int, ...]

CONDITIONS: Final = frozenset({"when", "if"})


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a document that holds expressions, and its place."""

    path: Path
    text: str
    condition: bool = False


@dataclass(frozen=True, slots=True)
class Outline:
    """One node. Whatever has the wrong shape is left out: the JSON Schema says so already."""

    path: Path
    id: str
    uses: str
    needs: tuple[str, ...] | None
    inputs: JSON
    texts: tuple[Text, ...]
    blocks: Mapping[str, tuple[Outline, ...]] = field(default_factory=dict)

    @property
    def need_paths(self) -> Iterator[tuple[str, Path]]:
        """The ids of `needs` with their places."""
        for index, need in enumerate(self.needs or ()):
            yield need, (*self.path, "needs", index)


def outline(listed: JSON, at: Path) -> tuple[Outline, ...]:
    """The nodes of a list, in order."""
    if not isinstance(listed, list):
        return ()
    return tuple(_node(one, (*at, index)) for index, one in enumerate(listed) if isinstance(one, dict))


def all_nodes(nodes: Sequence[Outline]) -> Iterator[Outline]:
    """Every node, also nested, in the order of the text."""
    for node in nodes:
        yield node
        for block in node.blocks.values():
            yield from all_nodes(block)


def texts_in(value: JSON, at: Path) -> Iterator[Text]:
    """Every text with an expression in it."""
    if isinstance(value, str):
        if OPENING in value:
            yield Text(at, value)
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from texts_in(one, (*at, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from texts_in(one, (*at, index))


def _node(written: dict[str, JSON], path: Path) -> Outline:
    uses = _text(written.get("uses"))
    inputs = written.get("with")
    conditions = [key for key in ("when", *FLOW_KEYS.get(uses, ())) if isinstance(written.get(key), str)]
    return Outline(
        path,
        _text(written.get("id")),
        uses,
        _needs(written.get("needs")),
        inputs,
        (
            *(Text((*path, key), written[key], condition=key in CONDITIONS) for key in conditions),
            *texts_in(inputs, (*path, "with")),
        ),
        {key: outline(written.get(key), (*path, key)) for key in BLOCKS.get(uses, ())},
    )


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _needs(value: JSON) -> tuple[str, ...] | None:
    return tuple(_text(one) for one in value) if isinstance(value, list) else None
