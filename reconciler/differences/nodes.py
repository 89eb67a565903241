"""What differs between two lists of nodes: pure. Nodes are matched by id, wherever they stand."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.differences.fields import MISSING, Change, fields, value_text
from schemas.pattern import BLOCKS, FLOW_KEYS, JSON, written_blocks

_GIST = {"http": "url", "log": "message", "fail": "message", "script": "file", "call": "pattern"}
"""What of a node's `with` says most about it, by kind."""


@dataclass(frozen=True, kw_only=True)
class _Placed:
    """A node without its blocks. `block` is the list that it stands in (`decide.then`; empty: the top)."""

    node: Mapping[str, JSON]
    path: str
    block: str
    after: str | None

    @property
    def place(self) -> dict[str, JSON]:
        return {"block": self.block, "after": self.after}


def node_changes(before: Sequence[JSON], after: Sequence[JSON]) -> Iterator[Change]:
    """Nodes added and changed in the order of `after`, then those removed."""
    one, other = ({p.node["id"]: p for p in _flat(nodes, "nodes", "")} for nodes in (before, after))
    moved = _moved(one, other)
    for key, placed in other.items():
        if key not in one:
            yield _added(key, placed)
            continue
        if key in moved:
            yield _move(key, one[key], placed)
        for field in fields(one[key].node, placed.node):
            yield field.told(placed.path, f"node `{key}`")
    for key, placed in one.items():
        if key not in other:
            text = f"node `{key}` removed (was {gist(placed.node)})"
            yield Change(path=placed.path, before=dict(placed.node), after=None, text=text)


def gist(node: Mapping[str, JSON]) -> str:
    """A node in a few words: `call notify-sales`, `http GET https://…`."""
    uses, with_ = str(node["uses"]), node.get("with") or {}
    said = with_.get(_GIST.get(uses, ""), MISSING)
    if uses in BLOCKS:
        said = next((node[key] for key in FLOW_KEYS[uses] if key in node), MISSING)
    if said is MISSING:
        return uses
    verb = f"{uses} {value_text(with_.get('method', 'GET'))}" if uses == "http" else uses
    number = f" version {with_['version']}" if uses == "call" and "version" in with_ else ""
    return f"{verb} {value_text(said)}{number}"


def _flat(nodes: Sequence[JSON], path: str, block: str) -> Iterator[_Placed]:
    above: str | None = None
    for node in nodes:
        here = f"{path}.{node['id']}"
        own = {key: value for key, value in node.items() if key not in BLOCKS.get(node["uses"], ())}
        yield _Placed(node=own, path=here, block=block, after=above)
        for key, nested in written_blocks(node):
            name = ".".join(key)
            yield from _flat(nested, f"{here}.{name}", f"{node['id']}.{name}")
        above = node["id"]


def _added(key: str, placed: _Placed) -> Change:
    where = f" in {placed.block}" if placed.block else ""
    text = f"node `{key}` added{where}: {gist(placed.node)}"
    return Change(path=placed.path, before=None, after=dict(placed.node), text=text)


def _move(key: str, was: _Placed, now: _Placed) -> Change:
    """The order of a list decides what runs when, so a move is a change of its own."""
    place = f"after `{now.after}`" if now.after else "to the front"
    if was.block != now.block:
        place = f"from {was.block or 'the top'} to {now.block or 'the top'}, {place.removeprefix('to ')}"
    return Change(
        path=f"{now.path} (place)", before=was.place, after=now.place, text=f"node `{key}` moved {place}"
    )


def _moved(one: Mapping[str, _Placed], other: Mapping[str, _Placed]) -> set[str]:
    """Nodes that stand in another list, and the fewest that explain a list's new order."""
    both = [key for key in other if key in one]
    moved = {key for key in both if one[key].block != other[key].block}
    places = {key: place for place, key in enumerate(one)}
    for block in {other[key].block for key in both}:
        listed = [key for key in both if other[key].block == block and key not in moved]
        kept = _longest_rising([places[key] for key in listed])
        moved |= {key for key in listed if places[key] not in kept}
    return moved


def _longest_rising(numbers: Sequence[int]) -> set[int]:
    """The longest subsequence that rises: those whose order has stayed (patience sorting)."""
    tops: list[int] = []
    below: dict[int, int | None] = {}
    for number in numbers:
        pile = bisect_left(tops, number)
        below[number] = tops[pile - 1] if pile else None
        tops[pile : pile + 1] = [number]
    kept, at = set(), tops[-1] if tops else None
    while at is not None:
        kept.add(at)
        at = below[at]
    return kept
