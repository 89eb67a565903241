"""Which nodes of an ended run count as done when it is run once more. Pure.

The path of a node in round 3 of a loop is `loop[3]/node`, that of one in a container's second attempt
`container~2/node`. A container that is not kept is entered again, as its first attempt, and decides again; what is
kept of its last attempt is found there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, NamedTuple

from schemas.pattern import Node, OnError
from store.run_reads import Done
from store.spans import SpanStatus

_SEGMENT: Final = re.compile(r"([a-z][a-z0-9_]*)(?:~([0-9]{1,6}))?(?:\[([0-9]{1,6})\])?")


class Segment(NamedTuple):
    """One container of a path, or its node: the attempt and the round or item of it that the path goes on in."""

    id: str
    attempt: int = 1
    turn: int | None = None


Place = tuple[Segment, ...]


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
    inside = re.compile("".join(map(_in_any_attempt, place[:depth])))
    return depth == 0 or any(inside.match(done.path) for done in journal)


def _in_any_attempt(segment: Segment) -> str:
    """As a regular expression."""
    turn = r"(\[[0-9]+\])?" if segment.turn is None else rf"\[{segment.turn}\]"
    return f"{segment.id}(~[0-9]+)?{turn}/"


def kept_rows(journal: Iterable[Done], pattern: Sequence[Node], start: Place | None) -> dict[str, str]:
    """The paths of what counts as done → their paths in the new run.

    `start` None: everything that the order could go on behind. Else what does not come at or after the node at
    `start`, nor contain it: nodes before it, other items and branches. A `stop` is taken again: it would end all.
    What a `try` does after its `do` (and `catch`) is kept only where the end of that is.
    """
    kept = _Kept(journal)
    kept.take(pattern, "", "", start or ())
    return kept.paths


class _Kept:
    """What is kept of a journal: `paths` are the old ones with the new.

    `old` and `new` are where the paths of a list's nodes begin in the journal and in the new run. `start` is
    empty where the place to start from is not in what is looked at, else it begins there.
    """

    def __init__(self, journal: Iterable[Done]) -> None:
        self.paths: dict[str, str] = {}
        self._lists: dict[str, dict[str, Done]] = {}
        self._turns: dict[str, list[int]] = {}
        for done in journal:
            path = done.path
            at = path.rfind("/") + 1
            listed = self._lists.get(path[:at])
            if listed is None:
                listed = self._add_list(path[:at])
            listed[path[at:]] = done

    def take(
        self, nodes: Sequence[Node], old: str, new: str, start: Place = (), *, may_fail: bool = False
    ) -> bool | None:
        """Of a list. `may_fail`: its failure counts, too.

        Gives whether the list ends well with what is kept; None: that is for what is yet to run.
        """
        rows = self._lists.get(old, {})
        redone: Collection[str] = _behind(start[0].id, nodes) if start else ()
        ends: set[bool | None] = set()
        for node in nodes:
            row = rows.get(node.id)
            end = None if row is None or node.id in redone else _end_of(node, row)
            if row is not None and (end or (end is False and may_fail)):
                self._take_whole(node, row, old, new)
            else:
                end = None
                if node.blocks and (node.id not in redone or node.id == start[0].id):
                    # A run that began with what is in it may have ended before it: then it has no row.
                    row = row or Done(old + node.id, SpanStatus.CANCELLED)
                    self._enter(node, row, new, start if node.id in redone else ())
            ends.add(end)
        return False if False in ends else None if None in ends else True

    def _take_whole(self, node: Node, row: Done, old: str, new: str) -> None:
        self.paths[row.path] = new + node.id
        for attempt in range(1, row.attempt + 1) if node.blocks else ():
            name = _attempt_path(node.id, attempt)
            for inside in self._inside(old + name):
                for nested in chain.from_iterable(node.blocks.values()):
                    found = self._lists[inside].get(nested.id)
                    if found is not None:
                        self._take_whole(nested, found, inside, new + inside[len(old) :])

    def _enter(self, node: Node, row: Done, new: str, start: Place) -> None:
        """A container that is not kept itself."""
        if len(start) == 1 and start[0].turn is None:
            return
        old = _attempt_path(row.path, self._attempt_of(row, start))
        new += node.id
        if node.uses in ("for-each", "repeat"):
            self._take_turns(node, old, new, start)
        elif node.uses == "try":
            self._take_guarded(node, f"{old}/", f"{new}/", start[1:])
        else:
            for nodes in node.blocks.values():
                self.take(nodes, f"{old}/", f"{new}/", _within(nodes, start[1:]))

    def _take_turns(self, node: Node, old: str, new: str, start: Place) -> None:
        nodes = node.blocks["do",]
        in_rounds = node.uses == "repeat"
        goes_on = bool(start) and (node.with_ or {}).get("onItemError") == "continue"
        first = start[0].turn if start else None
        if start and in_rounds:
            first = first or 0  # all that comes after one round needs it
        for turn in self._turns.get(old, ()):
            inside = f"{old}[{turn}]/", f"{new}[{turn}]/"
            if not start or (first is not None and (turn < first or (turn != first and not in_rounds))):
                self.take(nodes, *inside, may_fail=goes_on)
            elif first in (None, turn) and len(start) > 1:
                self.take(nodes, *inside, start[1:])

    def _take_guarded(self, node: Node, old: str, new: str, start: Place) -> None:
        """Of a `try`: its `catch` is for a failure that is kept, its `finally` for an end that is."""
        do, catch, last = (node.blocks.get((key,), ()) for key in ("do", "catch", "finally"))
        into_catch, into_last = _within(catch, start), _within(last, start)
        end = self.take(do, old, new, _within(do, start), may_fail=bool(into_catch or into_last))
        if end is False and catch:
            end = self.take(catch, old, new, into_catch, may_fail=bool(into_last))
        if end is not None:
            self.take(last, old, new, into_last)

    def _attempt_of(self, row: Done, start: Place) -> int:
        """The attempt of a container that is looked at: the last, or the last that came to `start`."""
        if not start or row.attempt == 1:
            return row.attempt
        if start[0].attempt > 1:
            return start[0].attempt
        return next((at for at in range(row.attempt, 0, -1) if self._came_to(row, at, start)), row.attempt)

    def _came_to(self, row: Done, attempt: int, start: Place) -> bool:
        lists = [
            self._lists[inside] for inside in self._inside(_attempt_path(row.path, attempt), start[0].turn)
        ]
        if len(start) == 1:
            return bool(lists)
        found = [listed[start[1].id] for listed in lists if start[1].id in listed]
        if len(start) == 2:
            return bool(found)
        return any(self._came_to(row, at, start[1:]) for row in found for at in range(1, row.attempt + 1))

    def _inside(self, container: str, turn: int | None = None) -> Iterator[str]:
        """Where the paths of the lists begin that an attempt of a container has in the journal."""
        turns = self._turns.get(container)
        listed = [f"{container}/"] if turns is None else [f"{container}[{at}]/" for at in turns]
        for inside in listed if turn is None else [f"{container}[{turn}]/"]:
            if inside in self._lists:
                yield inside

    def _add_list(self, prefix: str) -> dict[str, Done]:
        """With those around it: these may have no rows of their own."""
        around = prefix[: prefix.rfind("/", 0, -1) + 1]
        if around not in self._lists and prefix:
            self._add_list(around)
        if prefix.endswith("]/"):
            loop, _, turn = prefix[:-2].rpartition("[")
            self._turns.setdefault(loop, []).append(int(turn))
        return self._lists.setdefault(prefix, {})


def _end_of(node: Node, row: Done) -> bool | None:
    """Whether the order goes on behind a node, or it failed; None: it is not done."""
    match row.status:
        case SpanStatus.COMPLETED:
            return None if node.uses == "stop" else True
        case SpanStatus.SKIPPED:
            return True
        case SpanStatus.FAILED:
            return node.on_error is OnError.CONTINUE
    return None


def _within(nodes: Iterable[Node], start: Place) -> Place:
    """`start` if it is in this list."""
    return start if start and any(node.id == start[0].id for node in nodes) else ()


def _attempt_path(path: str, attempt: int) -> str:
    return path if attempt == 1 else f"{path}~{attempt}"


def _behind(first: str, nodes: Sequence[Node]) -> set[str]:
    """`first` and whatever needs it, directly or not."""
    found = {first}
    grown = True
    while grown:
        grown = False
        for at, node in enumerate(nodes):
            needs = ((nodes[at - 1].id,) if at else ()) if node.needs is None else node.needs
            if node.id not in found and found.intersection(needs):
                found.add(node.id)
                grown = True
    return found
