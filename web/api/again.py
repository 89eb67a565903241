"""Which nodes of an ended run count as done when it is run once more. Pure.

The path of a node in round 3 of a loop is `loop[3]/node`, that of one in a container's second attempt
`container~2/node`. A container that is not kept is entered again, as its first attempt, and decides again; what is
kept of its last attempt is found there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from schemas.pattern import BlockKey, Node, OnError
from store.run_reads import Done
from store.spans import SpanStatus

_SEGMENT: Final = re.compile(r"([a-z][a-z0-9_]*)(?:~([0-9]{1,6}))?(?:\[([0-9]{1,6})\])?")
_ORDER_OF_TRY: Final[Mapping[BlockKey, int]] = {("do",): 0, ("catch",): 1, ("finally",): 2}


class Segment(NamedTuple):
    """One container of a path, or its node: the attempt and the round or item of it that the path goes on in."""

    id: str
    attempt: int = 1
    turn: int | None = None

    def __str__(self) -> str:
        attempt = f"~{self.attempt}" if self.attempt > 1 else ""
        return f"{self.id}{attempt}{'' if self.turn is None else f'[{self.turn}]'}"


Place = tuple[Segment, ...]
_Instance = tuple[object, ...]


def parse_path(path: str) -> Place | None:
    """None for what is no path of a node."""
    found = [_SEGMENT.fullmatch(part) for part in path.split("/")]
    if not all(found):
        return None
    return tuple(Segment(m[1], int(m[2] or 1), None if m[3] is None else int(m[3])) for m in found if m)


def written_path(place: Place) -> str:
    """The path in the pattern: without rounds and attempts."""
    return "/".join(segment.id for segment in place)


def has_begun(place: Place, journal: Iterable[Done]) -> bool:
    """Whether the rounds and items that a path goes through are in the journal. One without an index means all."""
    depth = max((at for at, segment in enumerate(place) if segment.turn is not None), default=-1) + 1
    rows = (parse_path(done.path) or () for done in journal)
    return depth == 0 or any(
        len(row) >= depth
        and all(
            own.id == other.id and other.turn in (None, own.turn)
            for own, other in zip(row, place[:depth], strict=False)
        )
        for row in rows
    )


def kept_rows(journal: Iterable[Done], pattern: Sequence[Node], start: Place | None) -> dict[str, str]:
    """The paths of what counts as done → their paths in the new run.

    `start` None: everything that the order could go on behind. Else what does not come at or after the node at
    `start`, nor contain it: nodes before it, other items and branches. A `stop` is taken again: it would end all.
    """
    rows = [(place, done) for done in journal if (place := parse_path(done.path)) is not None]
    rows.sort(key=lambda row: len(row[0]))
    latest = _latest_attempts(rows)
    lists = _Lists(pattern)
    whole: set[_Instance] = set()
    kept: dict[str, str] = {}
    for place, done in rows:
        node = lists.node_at(place)
        if node is None:
            continue
        within = next((at for at in range(len(place) - 1) if _instance(place, at) in whole), None)
        if within is None:
            if any(s.attempt != latest[_instance(place, at)] for at, s in enumerate(place[:-1])):
                continue
            if not _counts(place, done, node, lists, start):
                continue
            whole.add(_instance(place, len(place) - 1))
        kept[done.path] = _renamed(place, within)
    return kept


def _counts(place: Place, done: Done, node: Node, lists: _Lists, start: Place | None) -> bool:
    if start is not None and _is_redone(place, start, lists):
        return False
    if done.status is SpanStatus.FAILED:
        return node.on_error is OnError.CONTINUE or (start is not None and _is_handled(place, start, lists))
    return done.status in (SpanStatus.COMPLETED, SpanStatus.SKIPPED) and node.uses != "stop"


def _renamed(place: Place, within: int | None) -> str:
    """Containers that are entered again begin with their first attempt; what is kept whole keeps its own."""
    first = len(place) - 1 if within is None else within
    return "/".join(str(s._replace(attempt=1) if at < first else s) for at, s in enumerate(place))


def _instance(place: Place, at: int) -> _Instance:
    """A container where it stands at run time, whatever its attempts and rounds."""
    return (*place[:at], place[at].id)


def _latest_attempts(rows: Iterable[tuple[Place, Done]]) -> dict[_Instance, int]:
    latest: dict[_Instance, int] = {}
    for place, done in rows:
        for at, segment in enumerate(place):
            attempt = segment.attempt if at < len(place) - 1 else done.attempt
            latest[_instance(place, at)] = max(attempt, latest.get(_instance(place, at), 1))
    return latest


def _is_redone(place: Place, start: Place, lists: _Lists) -> bool:
    """Whether a node comes at or after `start`, or is a container around it."""
    for at, (own, other) in enumerate(zip(place, start, strict=False)):
        if own.id != other.id:
            return lists.is_behind(place, start, at)
        last = at == len(start) - 1
        if at == len(place) - 1:
            return True  # the node itself, or a container around it
        within = lists.node_at(place[: at + 1])
        if not _same_round(own, other):
            repeats = within is not None and within.uses == "repeat"
            return repeats and own.turn is not None and other.turn is not None and own.turn > other.turn
        if last or within is None:
            return True
        ours, theirs = _block_of(place[at + 1].id, within), _block_of(start[at + 1].id, within)
        if ours != theirs:
            return within.uses == "try" and _ORDER_OF_TRY.get(ours, 0) > _ORDER_OF_TRY.get(theirs, 0)
    return False


def _is_handled(place: Place, start: Place, lists: _Lists) -> bool:
    """Whether `start` is in the `catch` or `finally` of a `try` whose earlier lists the failure is in."""
    for at, (own, other) in enumerate(zip(place[:-1], start[:-1], strict=False)):
        within = lists.node_at(place[: at + 1])
        if own.id != other.id or within is None or not _same_round(own, other):
            return False
        ours, theirs = _block_of(place[at + 1].id, within), _block_of(start[at + 1].id, within)
        if ours != theirs:
            return within.uses == "try" and _ORDER_OF_TRY.get(ours, 0) < _ORDER_OF_TRY.get(theirs, 0)
    return False


def _same_round(own: Segment, other: Segment) -> bool:
    return own.id == other.id and (other.turn is None or own.turn is None or own.turn == other.turn)


class _Lists:
    """A pattern's lists of nodes, so that none is looked through for every row of a journal."""

    def __init__(self, pattern: Sequence[Node]) -> None:
        self._nodes: dict[str, Node] = {}
        self._list_of: dict[str, tuple[str, Sequence[Node]]] = {}
        self._behind: dict[tuple[str, str], set[str]] = {}
        self._add(pattern, "")

    def _add(self, listed: Sequence[Node], prefix: str) -> None:
        for node in listed:
            path = prefix + node.id
            self._nodes[path] = node
            self._list_of[path] = (f"{prefix}{listed[0].id}", listed)
            for nested in node.blocks.values():
                self._add(nested, f"{path}/")

    def node_at(self, place: Place) -> Node | None:
        return self._nodes.get(written_path(place))

    def is_behind(self, place: Place, start: Place, at: int) -> bool:
        """Whether, in the list that both have reached, the one comes after the other."""
        name, listed = self._list_of[written_path(start[: at + 1])]
        key = (name, start[at].id)
        if key not in self._behind:
            self._behind[key] = _behind(start[at].id, listed)
        return place[at].id in self._behind[key]


def _named(id_: str, block: Sequence[Node]) -> Node | None:
    return next((node for node in block if node.id == id_), None)


def _block_of(id_: str, container: Node) -> BlockKey:
    return next((key for key, nodes in container.blocks.items() if _named(id_, nodes) is not None), ())


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
