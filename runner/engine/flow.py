"""The way through a program: what each list of nodes needs next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from runner.engine.decision import HALTED, Close, End, Halted, Next, Stopped, worst
from runner.engine.frames import Container, Frame, Place
from runner.engine.guarded import guarded
from runner.engine.journal import FOREVER, Entry, Journal
from runner.engine.loops import for_each, repeat
from runner.engine.sides import one_of, side_by_side
from runner.engine.walker import Walker
from runner.layers import Layer
from runner.program import Program, Step
from store.spans import SpanStatus

_INSIDE: Final[Mapping[str, Callable[[Walker, Container, Next, bool], End | None]]] = {
    "branch": one_of,
    "switch": one_of,
    "parallel": side_by_side,
    "for-each": for_each,
    "repeat": repeat,
    "try": guarded,
}


class Flow(Walker):
    """One run's way through its program. `scope` is what all its expressions can name, `deadline` the run's.

    What is folded into the result of a loop's item is taken out of `journal`.
    """

    def __init__(self, program: Program, journal: Journal, scope: Mapping[str, Any], deadline: float) -> None:
        super().__init__(journal)
        own = {**scope, "nodes": Layer()}
        self.root = Frame(program.root, "", own, deadline, sheltered=False)

    def next(self, now: float, *, halting: bool = False) -> Next:
        """Decide. `now` is in the seconds that the journal's timers are in. What halts once goes on halting."""
        self.now = now
        found = Next()
        found.end = self.walk(self.root, found, halting)
        return found

    def walk(self, frame: Frame, found: Next, halting: bool) -> End | None:
        return (self._in_order if frame.block.in_order else self._graph)(frame, found, halting)

    def _in_order(self, frame: Frame, found: Next, halting: bool) -> End | None:
        """Most lists: nothing behind the first node that is not settled matters yet."""
        steps, journal = frame.block.steps, self.journal
        while frame.at < len(steps):
            step = steps[frame.at]
            path = frame.prefix + step.node.id
            entry = journal.get(path)
            if entry is None:
                if halting:
                    return HALTED
                found.ready.append(Place(step, frame, path))
                return None
            if entry.status not in step.passes:
                return self._begun(Place(step, frame, path), entry, found, halting)
            self._settle(frame, step, path, entry)
            frame.at += 1
        return End(output=frame.last)

    def _graph(self, frame: Frame, found: Next, halting: bool) -> End | None:
        inside = Next()
        outcomes = self._front(frame, inside, halting)
        if not halting and any(outcomes):
            # One has failed: the others are halted, and the list ends when they have.
            halting, inside = True, Next()
            outcomes = self._front(frame, inside, halting)
        found.take(inside)
        if not frame.front:
            return End(output=frame.outputs[frame.block.steps[-1].node.id])
        ends = [one for one in outcomes if one is not None]
        return worst(ends) if halting and len(ends) == len(outcomes) else None

    def _front(self, frame: Frame, found: Next, halting: bool) -> list[End | None]:
        """Of each node under way the end that it forces on the list, or None."""
        outcomes: list[End | None] = []
        for at in self._advance(frame):
            step = frame.block.steps[at]
            path = frame.prefix + step.node.id
            entry = self.journal.get(path)
            if entry is not None:
                outcomes.append(self._begun(Place(step, frame, path), entry, found, halting))
            elif not halting:
                found.ready.append(Place(step, frame, path))
        return outcomes

    def _advance(self, frame: Frame) -> Sequence[int]:
        """Move the front behind all that is settled."""
        reached, frame.front = frame.front, []
        for at in reached:
            step = frame.block.steps[at]
            path = frame.prefix + step.node.id
            entry = self.journal.get(path)
            if entry is None or entry.status not in step.passes:
                frame.front.append(at)
                continue
            self._settle(frame, step, path, entry)
            reached += frame.behind(at)
        frame.front.sort()
        return frame.front

    def _settle(self, frame: Frame, step: Step, path: str, entry: Entry) -> None:
        frame.settle(step, entry)
        if step.blocks:
            self.forget(path, entry)

    def _begun(self, place: Place, entry: Entry, found: Next, halting: bool) -> End | None:
        """Note what a node that is not settled still needs. Gives the end that it forces on its list."""
        match entry.status:
            case SpanStatus.COMPLETED:
                return Stopped(output=entry.output)
            case SpanStatus.FAILED:
                return End(error=entry.error)
            case SpanStatus.CANCELLED:
                return HALTED
        if entry.state is not None:
            return self._container(Container(place, entry), found, halting)
        self._leaf(place, entry, found, halting)
        return None

    def _leaf(self, place: Place, entry: Entry, found: Next, halting: bool) -> None:
        if entry.status is SpanStatus.RUNNING:
            found.working += 1
            if halting:
                found.pull.append(place.path)
        elif halting:
            found.halt.append(place)
        elif entry.child_status is not None or entry.poked or (entry.wake or FOREVER) <= self.now:
            found.ready.append(place)
        else:
            found.waiting += 1
            found.wake_at(entry.wake)

    def _container(self, container: Container, found: Next, halting: bool) -> End | None:
        late = not halting and self.now >= container.limit
        end = _INSIDE[container.node.uses](self, container, found, halting or late)
        if end is None:
            if not (late or halting):
                found.wake_at(container.limit)
            return None
        if isinstance(end, Stopped):
            return end
        if isinstance(end, Halted) and not late:
            # Its own end is written first: what is around it may be folded into a loop's result.
            found.halt.append(container.place)
            return None
        found.closes.append(Close(container.place, end, late=isinstance(end, Halted)))
        return None
