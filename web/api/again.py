"""Which nodes of an ended run count as done when it is run once more. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from schemas.pattern import Node, OnError
from store.spans import SpanStatus


class Done(NamedTuple):
    """What a journal says of a node, as far as it matters here."""

    path: str
    status: SpanStatus


def kept_behind_failure(journal: Iterable[Done], nodes: Mapping[str, Node]) -> set[str]:
    """Everything that the order could go on behind. A `stop` is taken again: it would end the run at once."""
    return {done.path for done in journal if done.path in nodes and _settled(done, nodes[done.path])}


def kept_before(path: str, pattern: Sequence[Node], kept: set[str]) -> set[str]:
    """Those of `kept` that neither come after the node at `path`, nor contain it, nor are within it."""
    redone = set(_redone(path, pattern, ""))
    around = set(_containers(path))
    return {one for one in kept if one not in around and redone.isdisjoint((one, *_containers(one)))}


def _settled(done: Done, node: Node) -> bool:
    if done.status is SpanStatus.FAILED:
        return node.on_error is OnError.CONTINUE
    return done.status in (SpanStatus.COMPLETED, SpanStatus.SKIPPED) and node.uses != "stop"


def _containers(path: str) -> Iterable[str]:
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts)))


def _redone(path: str, block: Sequence[Node], prefix: str) -> Iterable[str]:
    """The node itself and, on every level, what comes after it or after what it is in.

    What it is in counts as the node of its own level, but is not redone whole: its other parts stay.
    """
    first, _, rest = path.partition("/")
    behind = _behind(first, block)
    yield from (prefix + node for node in behind if node != first or not rest)
    if rest:
        within = next(node for node in block if node.id == first)
        inner = rest.partition("/")[0]
        side = next(nodes for nodes in within.blocks.values() if any(node.id == inner for node in nodes))
        yield from _redone(rest, side, f"{prefix}{first}/")


def _behind(first: str, block: Sequence[Node]) -> set[str]:
    """`first` and whatever needs it, directly or not."""
    found = {first}
    grown = True
    while grown:
        grown = False
        for at, node in enumerate(block):
            needs = ((block[at - 1].id,) if at else ()) if node.needs is None else node.needs
            if node.id not in found and found.intersection(needs):
                found.add(node.id)
                grown = True
    return found
