"""What has to stay of a run that is run once more, told row by row: another way than the one that is tested."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from runner.program import Program, Step
from schemas.pattern import BlockKey, OnError
from store.spans import Span, SpanStatus
from web.api.again import Place, parse_path, written_path

LISTS_OF_TRY: tuple[BlockKey, ...] = (("do",), ("catch",), ("finally",))


@dataclass(frozen=True, kw_only=True)
class Expected:
    """`start` is empty for what goes on behind what failed."""

    journal: Mapping[str, Span]
    program: Program
    start: Place

    def paths(self) -> dict[str, str]:
        """With those in the new run: what is entered again begins with its first attempt."""
        whole = ((path, self._whole_from(path)) for path in self.journal)
        return {path: _renamed(path, at) for path, at in whole if at is not None}

    def is_redone(self, path: str) -> bool:
        """Whether it is at or behind the start, or around it."""
        place = _place(path)
        for at, (own, other) in enumerate(zip(place, self.start, strict=False)):
            if own.id != other.id:
                return own.id in self._behind(at)
            if at + 1 == len(place):
                return True
            step = self._step(place[: at + 1])
            if own.turn is not None:
                first = (
                    other.turn if other.turn is not None else 0 if step.node.uses == "repeat" else own.turn
                )
                if own.turn != first:
                    return step.node.uses == "repeat" and own.turn > first
            if at + 1 == len(self.start):
                return True
            ours, theirs = _block(step, place[at + 1].id), _block(step, self.start[at + 1].id)
            if ours != theirs:
                return step.node.uses == "try" and LISTS_OF_TRY.index(ours) > LISTS_OF_TRY.index(theirs)
        return False

    def names_an_attempt_before_the_last(self) -> bool:
        """Whether the start is found in another attempt of a container around it than the last."""
        for path in self.journal:
            place = _place(path)
            is_in_it = len(place) >= len(self.start) and all(
                own.id == other.id and other.turn in (None, own.turn)
                for own, other in zip(place, self.start, strict=False)
            )
            if is_in_it and any(
                segment.attempt != self._attempt(_path_of(path, at)) for at, segment in enumerate(place[:-1])
            ):
                return True
        return False

    def _whole_from(self, path: str) -> int | None:
        """The depth of the outermost that stays whole: a container around the node, or the node; None: it goes."""
        place = _place(path)
        for at, segment in enumerate(place[:-1]):
            container = _path_of(path, at)
            if self._counts(container):
                return at
            if segment.attempt != self._attempt(container):
                return None
            if self._step(place[: at + 1]).node.uses == "try" and not self._goes_on(path, at):
                return None
        return len(place) - 1 if self._counts(path) else None

    def _goes_on(self, path: str, at: int) -> bool:
        """Whether a `try` comes to this list of it by what stays of those before."""
        place = _place(path)
        step = self._step(place[: at + 1])
        inside = "/".join(path.split("/")[: at + 1]) + "/"
        match _block(step, place[at + 1].id):
            case ("catch",):
                return self._end(step, ("do",), inside) is False
            case ("finally",):
                end = self._end(step, ("do",), inside)
                if end is False and ("catch",) in step.blocks:
                    end = self._end(step, ("catch",), inside)
                return end is not None
        return True

    def _end(self, step: Step, block: BlockKey, inside: str) -> bool | None:
        paths = [inside + one.node.id for one in step.blocks[block].steps]
        stay = [path for path in paths if self._counts(path)]
        if any(not self._passes(path) for path in stay):
            return False
        return True if len(stay) == len(paths) else None

    def _counts(self, path: str) -> bool:
        if path not in self.journal or (self.start and self.is_redone(path)):
            return False
        return self._passes(path) or (
            self.journal[path].status is SpanStatus.FAILED and self._failure_stays(path)
        )

    def _passes(self, path: str) -> bool:
        node = self._step(_place(path)).node
        match self.journal[path].status:
            case SpanStatus.COMPLETED:
                return node.uses != "stop"
            case SpanStatus.FAILED:
                return node.on_error is OnError.CONTINUE
            case status:
                return status is SpanStatus.SKIPPED

    def _failure_stays(self, path: str) -> bool:
        """That of another item which may fail, and that which a `catch` or `finally` is run again for."""
        place, at = _place(path), path.count("/") - 1
        around = zip(place[:at], self.start, strict=False)
        if at < 0 or len(self.start) <= at or place[at].id != self.start[at].id:
            return False
        if any(own.id != other.id or other.turn not in (None, own.turn) for own, other in around):
            return False
        step = self._step(place[: at + 1])
        if step.node.uses == "for-each":
            other = self.start[at].turn not in (None, place[at].turn)
            return other and step.node.with_.get("onItemError") == "continue"
        if step.node.uses != "try" or len(self.start) == at + 1:
            return False
        ours, theirs = _block(step, place[-1].id), _block(step, self.start[at + 1].id)
        return LISTS_OF_TRY.index(ours) < LISTS_OF_TRY.index(theirs)

    def _attempt(self, container: str) -> int:
        """The last. What stays of one in a run that did not come to it is of the first."""
        return self.journal[container].attempt if container in self.journal else 1

    def _behind(self, at: int) -> set[str]:
        """The nodes that need the one at that depth of the start."""
        around = self.start[:at]
        block = (
            self._step(around).blocks[_block(self._step(around), self.start[at].id)]
            if around
            else self.program.root
        )
        behind = {self.start[at].id}
        for _ in block.steps:
            behind |= {
                one.node.id
                for one in block.steps
                for need in one.after
                if block.steps[need].node.id in behind
            }
        return behind

    def _step(self, place: Place) -> Step:
        return self.program.by_path[written_path(place)]


def _place(path: str) -> Place:
    place = parse_path(path)
    assert place is not None
    return place


def _path_of(path: str, at: int) -> str:
    """Of the container at that depth."""
    parts = path.split("/")
    return "/".join([*parts[:at], _place(parts[at])[0].id])


def _renamed(path: str, whole: int) -> str:
    parts = path.split("/")
    return "/".join([*(re.sub(r"~\d+", "", part) for part in parts[:whole]), *parts[whole:]])


def _block(step: Step, id_: str) -> BlockKey:
    return next(key for key, block in step.blocks.items() if id_ in [one.node.id for one in block.steps])
