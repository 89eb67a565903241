"""A run in a world of its own: the real executor on a journal in memory, under a clock and a fate of the test's.

Workers die at the moments that the fate names; another one goes on with what was durable by then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import orjson

from runner import endings
from runner.contexts import RunContext
from runner.engine import End
from runner.executor import Executor
from runner.nodes.base import NO_CONNECTIONS, NodeContext, NodeError
from runner.program import compile_pattern
from runner.state import Control, RunState, Stop
from schemas.pattern import JSON, Pattern
from store.journal import Outcome, Step
from store.leases import ClaimedRun
from store.runs import ENDED, RunStatus
from store.spans import Journaled, Span, SpanStatus

SLOW = 140.0
"""Seconds that a slow node takes: more than any time-out, and less than half of what a `finally` has."""


class Killed(BaseException):
    """The worker's process is no more."""


@dataclass
class Fate:
    """What happens at the n-th call of a node's work, and at the n-th write."""

    fails: frozenset[int] = frozenset()
    slow: frozenset[int] = frozenset()
    cancelled: frozenset[int] = frozenset()
    dies_in: frozenset[int] = frozenset()
    dies_before_write: frozenset[int] = frozenset()
    dies_after_write: frozenset[int] = frozenset()


@dataclass
class World:
    """`called` are the paths at which work was done, in order; `again` those done though a result was durable."""

    pattern: Pattern
    fate: Fate
    now: float = 1_000_000.0
    durable: dict[str, Span] = field(default_factory=dict)
    cancelled: bool = False
    called: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    ends: list[Step] = field(default_factory=list)
    last: RunState | None = None
    end: tuple[End, RunStatus | None] | None = None
    _calls: int = 0
    _writes: int = 0
    _mutex: Any = field(default_factory=threading.Lock)

    def run(self, lives: int = 200) -> None:
        """Let worker after worker have it in hand until it has ended."""
        started = self.now
        with patch("runner.state.time.time", lambda: self.now), self._watching_ends():
            for lease in range(1, lives):
                step = self._live(lease, started)
                if step is not None and step.status in ENDED:
                    self.ends.append(step)
                    return
                if step is not None and step.status is RunStatus.WAITING:
                    assert step.due is not None
                    self.now = max(self.now, step.due)
        raise AssertionError(f"not ended after {lives} lives: {self.durable}")

    def _live(self, lease: int, started: float) -> Step | None:
        executor = Executor(_NoDatabase(), {"http": self.work, "fail": _fail, "stop": _stop}, self.write)  # type: ignore[arg-type]
        executor.contexts = _Contexts(self.pattern)  # type: ignore[assignment]
        self.control = Control(lease, 0.0)
        claimed = _claimed(lease, started, self.now, cancelled=self.cancelled)
        try:
            step = executor.advance(claimed, self.control, self.journaled())
            assert step is not None
            self.write([step])
        except Killed:
            return None
        finally:
            self.control.pull(Stop.LOST)
            executor._beside.shutdown(wait=True)
        return step

    def work(self, context: NodeContext, inputs: JSON) -> JSON:
        with self._mutex:
            self._calls += 1
            call = self._calls
            self.called.append(context.path)
            if context.path in self.durable and self.durable[context.path].status is SpanStatus.COMPLETED:
                self.again.append(context.path)
        if call in self.fate.dies_in:
            raise Killed
        if call in self.fate.cancelled:
            self.cancelled = True
            self.control.pull(Stop.CANCELLED)
        if call in self.fate.slow and "last" not in context.path:
            self.now += SLOW
        if context.remaining() <= 0:
            raise NodeError("timeout", "too slow")
        if context.cancelled.is_set():
            raise NodeError("cancelled", "given up", retryable=False)
        if call in self.fate.fails:
            raise NodeError("connection", "no luck")
        return context.path

    def write(self, steps: Sequence[Step]) -> list[Outcome]:
        with self._mutex:
            self._writes += 1
            write = self._writes
        if write in self.fate.dies_before_write:
            raise Killed
        for step in steps:
            self.durable.update({span.path: span for span in step.spans})
        if write in self.fate.dies_after_write:
            raise Killed
        return [Outcome(True, ()) for _ in steps]

    def journaled(self) -> list[Journaled]:
        return [_row(span) for span in self.durable.values()]

    def _watching_ends(self) -> Any:
        concluded: Callable[..., Step] = endings.conclude

        def watch(run: RunState, end: End, ending: RunStatus | None, chance: float) -> Step:
            self.end = (end, ending)
            self.last = run
            self.rows = {**self.durable, **run._unsaved}
            return concluded(run, end, ending, chance)

        return patch("runner.endings.conclude", watch)

    def replayed(self) -> RunState:
        """What somebody makes of the journal as it was when the end was found."""
        claimed = _claimed(1, self.now, self.now, cancelled=False)
        rows = [_row(span) for span in self.rows.values()]
        return RunState(claimed, _Contexts(self.pattern).get(), Control(1, 0.0), rows)


def _fail(context: NodeContext, inputs: JSON) -> JSON:
    raise NodeError("failed", "as the pattern says", retryable=False)


def _stop(context: NodeContext, inputs: JSON) -> JSON:
    return "stopped"


class _NoDatabase:
    """There is nothing in these patterns that would ask for it."""


class _Contexts:
    def __init__(self, pattern: Pattern) -> None:
        self._pattern = pattern

    def get(self, *_: Any) -> RunContext:
        return RunContext(
            organisation="default",
            environment="production",
            program=compile_pattern(self._pattern),
            variables={},
            retry=self._pattern.retry,
            retry_when=None,
            timeout=self._pattern.timeout,
            deployment={},
            version={},
            calls={},
            assets=None,  # type: ignore[arg-type]
            network=(),
            connections=NO_CONNECTIONS,
        )


def _claimed(lease: int, started: float, now: float, *, cancelled: bool) -> ClaimedRun:
    return ClaimedRun(
        id="00000000-0000-0000-0000-000000000001",
        lease=lease,
        deployment_id=1,
        revision=1,
        version_id="v",
        pattern="p",
        trigger_kind="manual",
        trigger={},
        input=None,
        attempt=1,
        cancelled=cancelled,
        parent_id=None,
        root_id=None,
        depth=0,
        started_at=started,
        now=now,
    )


def _row(span: Span) -> Journaled:
    def read(text: str | None) -> JSON:
        return None if text is None else orjson.loads(text)

    return Journaled(
        path=span.path,
        status=span.status,
        attempt=span.attempt,
        started=span.started,
        ended=span.ended,
        output=read(span.output),
        error=read(span.error),
        log=None,
        wake=span.wake,
        child=None,
        child_status=None,
        child_output=None,
        child_error=None,
    )
