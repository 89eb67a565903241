"""What a run does next: a pure function of its program and its journal.

The journal maps a node's path to what is known of it; a path that is missing has not begun.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.program import Block, Program, Step
from schemas.pattern import JSON, OnError
from store.spans import SpanStatus


@dataclass(slots=True)
class Entry:
    """What the journal knows of one node.

    RUNNING of a container says that `taken` is the block under way; of any other node, that it is being
    worked on in this process. WAITING has a timer (`wake`) or a called run (`child`, and `child_status`
    once that has ended, with its output and error); with an `error`, the timer is that of another attempt.
    """

    status: SpanStatus
    attempt: int = 1
    output: JSON = None
    error: JSON = None
    wake: float | None = None
    child: str | None = None
    child_status: str | None = None
    taken: str | None = None


Journal = Mapping[str, Entry]


@dataclass(frozen=True, slots=True)
class Close:
    """A container whose inside has ended: with its output, or with the error that nobody handled."""

    step: Step
    output: JSON = None
    error: JSON = None


@dataclass(frozen=True, slots=True)
class End:
    """The run's end. `error` None is success."""

    output: JSON = None
    error: JSON = None


@dataclass(slots=True)
class Next:
    """`end`, or else what can be done now; with neither, the run waits (until `wake`, if that is a time).

    `working` counts nodes that are being worked on in this process.
    """

    ready: list[Step] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    wake: float | None = None
    working: int = 0
    end: End | None = None

    def take(self, other: Next) -> None:
        self.ready += other.ready
        self.closes += other.closes
        self.working += other.working
        if other.wake is not None:
            self.wake = other.wake if self.wake is None else min(other.wake, self.wake)


def next_steps(program: Program, journal: Journal, now: float, reached: dict[str, int] | None = None) -> Next:
    """Decide. `now` is in the seconds that the journal's timers are in.

    `reached` is what the calls for one run tell each other: how far each list is settled, which it stays.
    """
    found, end = _Walk(journal, now, {} if reached is None else reached).block(program.root)
    return found if end is None or found.working else Next(end=end)


class _Walk:
    def __init__(self, journal: Journal, now: float, reached: dict[str, int]) -> None:
        self._journal = journal
        self._now = now
        self._reached = reached

    def block(self, block: Block) -> tuple[Next, End | None]:
        """What the block needs, and its end if it has come to one (a failure or a `stop` ends it early).

        With an end, all that is left to do is to wait for the nodes at work: their entries must not come
        after it.
        """
        return self._list(block) if block.in_order else self._graph(block)

    def _list(self, block: Block) -> tuple[Next, End | None]:
        """Most blocks: nothing behind the first node that is not settled matters yet."""
        found, entry = Next(), None
        for at in range(self._reached.get(block.path, 0), len(block.steps)):
            self._reached[block.path] = at
            step = block.steps[at]
            entry = self._journal.get(step.path)
            if entry is None:
                found.ready.append(step)
                return found, None
            end = self._begun(step, entry, found)
            if end is not None:
                return Next(working=found.working), end
            if not _settled(step, entry):
                return found, None
        return found, End(output=output_of(entry))

    def _graph(self, block: Block) -> tuple[Next, End | None]:
        found, end = Next(), None
        entries = [self._journal.get(step.path) for step in block.steps]
        settled = [_settled(step, entry) for step, entry in zip(block.steps, entries, strict=True)]
        for step, entry in zip(block.steps, entries, strict=True):
            if entry is not None:
                forced = self._begun(step, entry, found)
                end = end or forced
            elif all(settled[at] for at in step.after):
                found.ready.append(step)
        if end is not None:
            return Next(working=found.working), end
        if not all(settled):
            return found, None
        return found, End(output=output_of(entries[-1]))

    def _begun(self, step: Step, entry: Entry, found: Next) -> End | None:
        """Note what a step that has begun still needs. Gives the end that it forces on its block, if it does."""
        if _settled(step, entry):
            stopped = step.node.uses == "stop" and entry.status is SpanStatus.COMPLETED
            return Stopped(output=entry.output) if stopped else None
        if entry.status is SpanStatus.FAILED:
            return End(error=entry.error)
        if entry.status is SpanStatus.RUNNING and entry.taken is not None:
            return self._container(step, entry.taken, found)
        self._open(step, entry, found)
        return None

    def _open(self, step: Step, entry: Entry, found: Next) -> None:
        if entry.status is SpanStatus.RUNNING:
            found.working += 1
        elif entry.child_status is not None or (entry.wake is not None and entry.wake <= self._now):
            found.ready.append(step)
        elif entry.wake is not None:
            found.take(Next(wake=entry.wake))

    def _container(self, step: Step, taken: str, found: Next) -> End | None:
        inside, end = self.block(step.blocks[taken]) if taken in step.blocks else (Next(), End())
        found.take(inside)
        if isinstance(end, Stopped):
            return end
        if end is not None and not inside.working:
            found.closes.append(Close(step, end.output, end.error))
        return None


class Stopped(End):
    """A `stop` node ended all the containers around it, and the run with them."""


def _settled(step: Step, entry: Entry | None) -> bool:
    """Whether the order may go on behind it."""
    if entry is None:
        return False
    if entry.status is SpanStatus.FAILED:
        return step.node.on_error is OnError.CONTINUE
    return entry.status in (SpanStatus.COMPLETED, SpanStatus.SKIPPED)


def output_of(entry: Entry | None) -> JSON:
    """What `nodes.<id>` is once the node is settled: a failure that was let pass is `{"error": …}`."""
    if entry is None:
        return None
    return {"error": entry.error} if entry.status is SpanStatus.FAILED else entry.output
