"""The nodes of a pattern as far as they can be understood, so that one mistake does not hide the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from schemas.pattern import FLOW_KEYS, JSON, BlockKey, written_blocks
from schemas.template_text import OPENING

Path: TypeAlias = tuple[str | int, ...]

ITEM: Final = "item"
"""What a `for-each` calls its items where `as` gives them no name."""

ROUND_NAMES: Final = frozenset({"index", "previous"})
ERROR_NAMES: Final = frozenset({"error"})
EVENT_NAMES: Final = frozenset({"event"})

CONDITIONS: Final = frozenset({"when", "if", "while", "until", "match"})
"""Keys that hold one expression that is true or false."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a document that holds expressions, and its place. `names`: what can be named there besides."""

    path: Path
    text: str
    condition: bool = False
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Outline:
    """One node. Whatever has the wrong shape is left out: the JSON Schema says so already."""

    path: Path
    id: str
    uses: str
    needs: tuple[str, ...] | None
    inputs: JSON
    texts: tuple[Text, ...]
    blocks: Mapping[BlockKey, tuple[Outline, ...]] = field(default_factory=dict)
    names: Mapping[BlockKey, frozenset[str]] = field(default_factory=dict)

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
    blocks = {key: outline(listed, (*path, *key)) for key, listed in written_blocks(written)}
    return Outline(
        path,
        _text(written.get("id")),
        _text(written.get("uses")),
        _needs(written.get("needs")),
        written.get("with"),
        tuple(_texts(written, path)),
        blocks,
        {key: names_in_block(written, key) for key in blocks},
    )


def names_in_block(node: Mapping[str, JSON], block: BlockKey) -> frozenset[str]:
    """What can be named in a list of a flow node beside what can be named around it."""
    match node.get("uses"), block[0]:
        case "for-each", _:
            return frozenset({_text(node.get("as")) or ITEM, "index"})
        case "repeat", _:
            return ROUND_NAMES
        case "try", "catch" | "finally":
            return ERROR_NAMES
    return frozenset()


def _texts(written: Mapping[str, JSON], path: Path) -> Iterator[Text]:
    uses = _text(written.get("uses"))
    for key in ("when", *FLOW_KEYS.get(uses, ())):
        condition = key in CONDITIONS
        names = ROUND_NAMES if key in {"while", "until"} else frozenset()
        for text in _maybe_texts(written.get(key), (*path, key), condition=condition):
            yield replace(text, condition=condition, names=names)
    retry = written.get("retry")
    if isinstance(retry, dict) and isinstance(retry.get("when"), str):
        yield Text((*path, "retry", "when"), retry["when"], condition=True, names=ERROR_NAMES)
    for text in texts_in(written.get("with"), (*path, "with")):
        is_match = uses == "wait" and text.path == (*path, "with", "match")
        yield replace(text, condition=True, names=EVENT_NAMES) if is_match else text


def _maybe_texts(value: JSON, at: Path, *, condition: bool) -> Iterator[Text]:
    """A condition is looked at whatever it holds, other values where they hold an expression."""
    return iter([Text(at, value)]) if condition and isinstance(value, str) else texts_in(value, at)


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _needs(value: JSON) -> tuple[str, ...] | None:
    return tuple(_text(one) for one in value) if isinstance(value, list) else None
