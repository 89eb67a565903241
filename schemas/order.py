"""The order of a list of nodes: which run before which, and whether that can be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from schemas.mistakes import Mistake, did_you_mean
from schemas.outline import Outline


@dataclass(frozen=True, slots=True)
class View:
    """What a node can name: what runs before it in its list, and all that its container can name.

    Bit i of `before` stands for the node at position i. `values` are the names in scope beside those that there
    are everywhere: `item`, `error`….
    """

    outer: View | None
    positions: Mapping[str, int]
    before: int
    values: frozenset[str] = frozenset()

    def sees(self, name: str) -> bool:
        position = self.positions.get(name)
        if position is None:
            return self.outer is not None and self.outer.sees(name)
        return bool(self.before >> position & 1)

    def names(self) -> Iterator[str]:
        """All ids that can be named."""
        for name, position in self.positions.items():
            if self.before >> position & 1:
                yield name
        if self.outer is not None:
            yield from self.outer.names()


def views(
    nodes: Sequence[Outline], outer: View | None, names: frozenset[str] = frozenset()
) -> tuple[list[View], View]:
    """What each node of a list can name, and what can be named after the whole list.

    `names` are those that the list's container adds.
    """
    positions = _positions(nodes)
    if all(node.needs is None for node in nodes):
        before = [(1 << at) - 1 for at in range(len(nodes))]
    else:
        before = _closure(_edges(nodes, positions))
    after = (1 << len(nodes)) - 1
    values = names if outer is None else outer.values | names
    return [View(outer, positions, mask, values) for mask in before], View(outer, positions, after, values)


def order_mistakes(nodes: Sequence[Outline], everywhere: Mapping[str, Outline]) -> Iterator[Mistake]:
    """Unknown ids in `needs`, and circles. `everywhere` holds all nodes of the pattern by id."""
    if all(node.needs is None for node in nodes):
        return
    positions = _positions(nodes)
    for node in nodes:
        for need, path in node.need_paths:
            if need and need not in positions:
                hint = did_you_mean(need, positions.keys() - {node.id})
                message = f'there is no node "{need}" to wait for'
                if need in everywhere:
                    message = f'"{need}" stands in another list of nodes'
                    hint = "Only nodes of the same list can be waited for."
                yield Mistake(path=path, code="needs-unknown", message=message, hint=hint)
    yield from _circles(nodes, _edges(nodes, positions))


def _positions(nodes: Sequence[Outline]) -> dict[str, int]:
    positions: dict[str, int] = {}
    for position, node in enumerate(nodes):
        positions.setdefault(node.id, position)
    positions.pop("", None)
    return positions


def _edges(nodes: Sequence[Outline], positions: Mapping[str, int]) -> list[tuple[int, ...]]:
    """What each node waits for directly: what it `needs`, else the one before it."""
    return [
        (() if at == 0 else (at - 1,))
        if node.needs is None
        else tuple(positions[need] for need in node.needs if need in positions)
        for at, node in enumerate(nodes)
    ]


def _closure(edges: Sequence[tuple[int, ...]]) -> list[int]:
    """For each node the set, as bits, of all that run before it. Circles are cut somewhere."""
    before = [-1] * len(edges)
    for start in range(len(edges)):
        todo = [start]
        while todo:
            at = todo[-1]
            if before[at] == -1:
                before[at] = 0  # entered
                todo.extend(to for to in edges[at] if before[to] == -1)
            else:
                todo.pop()
                for to in edges[at]:
                    before[at] |= before[to] | 1 << to
    return before


def _circles(nodes: Sequence[Outline], edges: Sequence[tuple[int, ...]]) -> Iterator[Mistake]:
    """One mistake for each edge that closes a circle."""
    settled: set[int] = set()
    for start in range(len(nodes)):
        trail: list[int] = []
        todo = [(start, iter(edges[start]))] if start not in settled else []
        trail.extend(at for at, _ in todo)
        while todo:
            at, rest = todo[-1]
            to = next(rest, None)
            if to is None:
                settled.add(at)
                todo.pop()
                trail.pop()
            elif to in trail:
                yield _circle(nodes, [*trail[trail.index(to) :], to])
            elif to not in settled:
                todo.append((to, iter(edges[to])))
                trail.append(to)


def _circle(nodes: Sequence[Outline], circle: list[int]) -> Mistake:
    """The mistake stands at the last `needs` of the circle: some edges are only the order of the list."""
    steps = [nodes[at] for at in circle]
    path = steps[0].path
    for node, target in pairwise(steps):
        for need, place in node.need_paths:
            if need == target.id:
                path = place
    shown = " → ".join(node.id for node in steps)
    message = f"nodes wait for each other in a circle: {shown}"
    if len(steps) == 2:
        message = f'the node "{steps[0].id}" waits for itself'
    hint = "Take one of these out of `needs` (a node without `needs` waits for the one above it)."
    return Mistake(path=path, code="needs-circle", message=message, hint=hint)
