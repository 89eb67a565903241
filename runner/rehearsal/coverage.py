"""Which nodes, and which sides of them, no case came by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from runner.rehearsal.frozen import Trace
from runner.rehearsal.rehearse import CaseResult
from schemas.documents import Document
from schemas.pattern import BLOCKS, JSON, BlockKey, written_blocks
from schemas.positions import Path, Positions
from schemas.references import nodes_with_paths

_ONE_OF = frozenset({"branch", "switch"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """A node, or one of its `side`s (`else`, `cases.EU`, `catch`), and whether a case came by."""

    node: str
    side: str | None
    line: int
    column: int
    covered: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Of one pattern."""

    pattern: str
    path: str
    spots: tuple[Spot, ...]

    @property
    def missed(self) -> list[Spot]:
        return [spot for spot in self.spots if not spot.covered]


def coverage(
    patterns: Mapping[str, tuple[Document, Positions]], results: Iterable[CaseResult]
) -> Iterator[Coverage]:
    """Of each pattern, by name. `patterns` come with where their values stand."""
    traces: dict[str, list[Trace]] = {}
    for result in results:
        for trace in result.traces.values():
            traces.setdefault(trace.pattern, []).append(trace)
    for name, (document, positions) in sorted(patterns.items()):
        spots = list(_spots(document.spec, positions, _Seen.of(traces.get(name, ()))))
        yield Coverage(
            pattern=name,
            path=document.path,
            spots=tuple(sorted(spots, key=lambda spot: (spot.line, spot.column))),
        )


@dataclass(frozen=True, slots=True)
class _Seen:
    ran: frozenset[str]
    taken: frozenset[tuple[str, BlockKey]]

    @classmethod
    def of(cls, traces: Iterable[Trace]) -> _Seen:
        listed = list(traces)
        return cls(
            frozenset(id_ for trace in listed for id_ in trace.ran),
            frozenset(side for trace in listed for side in trace.taken),
        )


def _spots(spec: Mapping[str, JSON], positions: Positions, seen: _Seen) -> Iterator[Spot]:
    for node, path in nodes_with_paths(spec["nodes"], ("spec", "nodes")):
        yield _spot(node["id"], None, positions.value_at(path), covered=node["id"] in seen.ran)
        for side, nested, at in _sides(node, path):
            covered = (node["id"], side) in seen.taken
            if node["uses"] not in _ONE_OF:
                covered = any(inside["id"] in seen.ran for inside in nested)
            yield _spot(node["id"], ".".join(side), positions.key_at(at), covered=covered)


def _sides(node: JSON, path: Path) -> Iterator[tuple[BlockKey, JSON, Path]]:
    """Key, nodes and place of each side of a node: also the one that a `branch` or `switch` does not write down."""
    written = dict(written_blocks(node))
    for side, nested in written.items():
        yield side, nested, (*path, *side)
    if node["uses"] in _ONE_OF:
        unwritten = (BLOCKS[node["uses"]][-1],)
        if unwritten not in written:
            yield unwritten, (), path


def _spot(node: str, side: str | None, place: tuple[int, int], *, covered: bool) -> Spot:
    return Spot(node=node, side=side, line=place[0], column=place[1], covered=covered)
