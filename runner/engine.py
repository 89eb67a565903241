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


def next_steps(program: Program, journal: Journal, now: float) -> Next:
    """Decide. `now` is in the seconds that the journal's timers are in."""
    found = Next()
    result = _Walk(journal, now, found).block(program.root)
    if isinstance(result, End):
        # Whatever is still being worked on is waited for: its journal entry must not come after the end.
        found.ready.clear()
        found.closes.clear()
        found.end = result if not found.working else None
    return found


class _Walk:
    def __init__(self, journal: Journal, now: float, found: Next) -> None:
        self._journal = journal
        self._now = now
        self._found = found

    def block(self, block: Block) -> End | None:
        """The block's end, or None while it is under way. An inner `stop` or failure ends it early."""
        entries = [self._journal.get(step.path) for step in block.steps]
        settled = [_settled(step, entry) for step, entry in zip(block.steps, entries, strict=True)]
        for step, entry in zip(block.steps, entries, strict=True):
            if entry is not None:
                end = self._begun(step, entry)
                if end is not None:
                    return end
            elif all(settled[at] for at in step.after):
                self._found.ready.append(step)
        if not all(settled):
            return None
        return End(output=output_of(entries[-1])) if entries else End()

    def _begun(self, step: Step, entry: Entry) -> End | None:
        """Note what a step that has begun still needs. Gives the end that it forces on its block, if it does."""
        if _settled(step, entry):
            stopped = step.node.uses == "stop" and entry.status is SpanStatus.COMPLETED
            return _Stopped(output=entry.output) if stopped else None
        if entry.status is SpanStatus.FAILED:
            return End(error=entry.error)
        return self._open(step, entry)

    def _open(self, step: Step, entry: Entry) -> End | None:
        if entry.status is SpanStatus.RUNNING and entry.taken is not None:
            return self._container(step, entry.taken)
        if entry.status is SpanStatus.RUNNING:
            self._found.working += 1
        elif entry.child_status is not None or (entry.wake is not None and entry.wake <= self._now):
            self._found.ready.append(step)
        elif entry.wake is not None:
            self._found.wake = entry.wake if self._found.wake is None else min(entry.wake, self._found.wake)
        return None

    def _container(self, step: Step, taken: str) -> End | None:
        inside = step.blocks.get(taken)
        end = End() if inside is None else self.block(inside)
        if isinstance(end, _Stopped):
            return end
        if end is not None:
            self._found.closes.append(Close(step, end.output, end.error))
        return None


class _Stopped(End):
    """A `stop` node ends all the containers around it, and the run with them."""


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
