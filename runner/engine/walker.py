"""What the walks through lists and containers share: journal, time, and what is remembered of containers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from runner.engine.decision import End, Next
from runner.engine.frames import Container, Frame, attempt_path
from runner.engine.journal import Entry, Journal
from runner.layers import Layer
from schemas.pattern import JSON, BlockKey


class Walker(ABC):
    """`inside` holds, by the key of a container that has been entered, what its kind remembers of it.

    Whatever that is, `values()` gives the frames in it.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.now = 0.0
        self.inside: dict[str, Any] = {}

    @abstractmethod
    def walk(self, frame: Frame, found: Next, halting: bool) -> End | None:
        """What a list needs, or its end: then nothing of it is under way any more."""

    def frame(self, container: Container, block: BlockKey, /, **names: JSON) -> Frame:
        """The frame of a list that runs once in an attempt of its container."""
        frames: dict[BlockKey, Frame] = self.inside.setdefault(container.key, {})
        if block not in frames:
            frames[block] = new_frame(container, block, **names)
        return frames[block]

    def has_begun(self, frame: Frame) -> bool:
        return any(frame.prefix + step.node.id in self.journal for step in frame.block.steps)

    def drop(self, frame: Frame) -> None:
        """Forget the nodes of a frame whose end is known: what led to it is not needed any more."""
        for step in frame.block.steps:
            path = frame.prefix + step.node.id
            entry = self.journal.pop(path, None)
            if step.blocks and entry is not None:
                self.forget(path, entry)

    def forget(self, path: str, entry: Entry) -> None:
        """The same for all that is in a container that is settled, in each of its attempts."""
        for attempt in range(1, entry.attempt + 1):
            known = self.inside.pop(attempt_path(path, attempt), None)
            for frame in () if known is None else known.values():
                self.drop(frame)


def new_frame(container: Container, block: BlockKey, index: str = "", /, **names: JSON) -> Frame:
    """`names`: what its expressions can name besides what can be named around it, and its nodes before them."""
    outer = container.place.frame
    return Frame(
        container.place.step.blocks[block],
        f"{container.key}{index}/",
        {**outer.scope, **names, "nodes": Layer(outer.outputs)},
        min(outer.deadline, container.limit),
        sheltered=outer.sheltered,
    )
