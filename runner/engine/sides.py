"""`branch`, `switch` and `parallel`, and what lists side by side have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from runner.engine.decision import End, Next, worst
from runner.engine.frames import Container, Frame
from runner.engine.walker import Walker, new_frame
from runner.layers import loaded


def one_of(walker: Walker, container: Container, found: Next, halting: bool) -> End | None:
    """`branch` and `switch`."""
    state = container.entry.state or {}
    taken = tuple(state["taken"])
    if taken not in container.place.step.blocks:
        return End()
    return walker.walk(walker.frame(container, taken), found, halting)


@dataclass(slots=True)
class Lists:
    """The lists of a container that run side by side: those under way, those that are over, and their ends."""

    frames: dict[Any, Frame] = field(default_factory=dict)
    over: dict[Any, Frame] = field(default_factory=dict)
    ends: dict[Any, End] = field(default_factory=dict)
    bad: bool = False

    def values(self) -> Iterable[Frame]:
        return [*self.frames.values(), *self.over.values()]

    def walk(self, walker: Walker, found: Next, halting: bool, *, cancels: bool) -> None:
        """Walk those under way; when one ends badly, and that cancels the others, halt these."""
        inside = Next()
        was_bad = self.bad
        self._walk_open(walker, inside, halting or was_bad, cancels=cancels)
        if self.bad and not (was_bad or halting):
            inside = Next()
            self._walk_open(walker, inside, True, cancels=cancels)
        found.take(inside)

    def _walk_open(self, walker: Walker, found: Next, halting: bool, *, cancels: bool) -> None:
        for key, frame in list(self.frames.items()):
            end = walker.walk(frame, found, halting)
            if end is not None:
                self.over[key] = self.frames.pop(key)
                self.ends[key] = end
                self.bad |= not end.well and (cancels or type(end) is not End)


def side_by_side(walker: Walker, container: Container, found: Next, halting: bool) -> End | None:
    """`parallel`."""
    names = list(container.place.step.blocks)
    lists: Lists | None = walker.inside.get(container.key)
    if lists is None:
        lists = Lists(frames={key: new_frame(container, key) for key in names})
        walker.inside[container.key] = lists
    cancels = container.node.with_.get("whenOneFails", "cancel") == "cancel"
    lists.walk(walker, found, halting, cancels=cancels)
    if lists.frames:
        return None
    ends = [lists.ends[key] for key in names]
    if all(end.well for end in ends):
        return End(output={key[-1]: loaded(end.output) for key, end in zip(names, ends, strict=True)})
    return worst(end for end in ends if not end.well)
