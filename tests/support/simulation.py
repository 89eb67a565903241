"""A run in a world of its own: the real executor on a journal in memory, under a clock and a fate of the test's.

Workers die at the moments that the fate names; another one goes on with what was durable by then.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import orjson

from runner import endings
from runner.contexts import RunContext
from runner.cords import Control, Stop
from runner.engine import End
from runner.executor import Executor
from runner.nodes.base import NO_CONNECTIONS, NodeContext, NodeError
from runner.program import compile_pattern
from runner.rehearsal.secrets import GivenSecrets
from runner.state import RunState
from schemas.pattern import JSON, Pattern
from store.blobs import Blobs
from store.journal import Outcome, Step
from store.leases import ClaimedRun
from store.run_events import RunEvent
from store.runs import ENDED, RunStatus
from store.spans import SETTLED, EndedChild, Journaled, Span, SpanStatus

SLOW = 140.0
"""Seconds that a slow node takes: more than any time-out, and less than half of what a `finally` has."""


_ATTEMPTS: Final = re.compile(r"~\d+")


class Killed(BaseException):
    """The worker's process is no more."""


@dataclass
class Fate:
    """What happens at the n-th call of a node's work, at the n-th write, and at the n-th look at the clock.

    `called_runs` are the status of each called run, and how long it takes, over and over. `mended`: what a `fail`
    was there for does not happen, and whatever is waited for has been posted.
    """

    fails: frozenset[int] = frozenset()
    slow: frozenset[int] = frozenset()
    cancelled: frozenset[int] = frozenset()
    dies_in: frozenset[int] = frozenset()
    dies_before_write: frozenset[int] = frozenset()
    dies_after_write: frozenset[int] = frozenset()
    posts: frozenset[int] = frozenset()  # an event, at that write
    leaves: frozenset[int] = frozenset()
    leaves_at_look: frozenset[int] = frozenset()
    cancelled_at_look: frozenset[int] = frozenset()
    called_runs: tuple[tuple[str, float], ...] = (("completed", 0.0),)
    keeps: bool = False  # a worker that lives takes up again what it left, instead of reading the journal
    mended: bool = False


@dataclass
class CalledRun:
    """A run that a `call` node started; `dropped`: nobody waits for it any more."""

    status: str
    ends: float
    dropped: bool = False


@dataclass
class World:
    """`called` are the paths at which work was done, in order; `again` those done though a result was durable.

    `durable` is the journal of the run's `attempt`, `before` has those of the attempts before.
    """

    pattern: Pattern
    fate: Fate
    now: float = 1_000_000.0
    durable: dict[str, Span] = field(default_factory=dict)
    blobs: Blobs | None = None
    cancelled: bool = False
    called: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    ends: list[Step] = field(default_factory=list)
    last: RunState | None = None
    end: tuple[End, RunStatus | None] | None = None
    attempt: int = 1
    before: list[dict[str, Span]] = field(default_factory=list)
    called_runs: dict[str, CalledRun] = field(default_factory=dict)
    taken: list[int] = field(default_factory=list)
    _posted: int = 0
    _woken: bool = False
    _looks: int = 0
    _calls: int = 0
    _writes: int = 0
    alone: bool = False  # no two nodes at once
    _worker: Executor | None = None
    _ids: Any = field(default_factory=itertools.count)
    _mutex: Any = field(default_factory=threading.Lock)

    def run(self, lives: int = 400) -> None:
        """Let worker after worker have it in hand until it has ended."""
        started = self.now
        with ExitStack() as patches:
            for patched in self._patches():
                patches.enter_context(patched)
            for lease in range(1, 2 * lives, 2):
                step = self._live(lease, started)
                if step is not None and step.status in ENDED:
                    self.ends.append(step)
                    return
                if step is not None and step.status is RunStatus.WAITING:
                    self._sleep(step)
        still = [path for path, span in self.durable.items() if span.status not in SETTLED]
        raise AssertionError(f"not ended after {lives} lives, at {self.now}: {still}")

    def _patches(self) -> list[Any]:
        return [
            # The module's name for it: `time.time` itself is every thread's of this process.
            patch("runner.state.time", SimpleNamespace(time=self._look, monotonic=time.monotonic)),
            patch("runner.outside.execution.closed_callee", lambda *_: None),
            patch("runner.outside.run_events.unconsumed", self._events),
            patch("runner.executor.spans.ended_children", self._ended_children),
            patch("runner.suspended.LEAST", 0),
            patch("runner.control.calls.new_id", lambda: f"called-{next(self._ids)}"),
            self._watching_ends(),
        ]

    def _look(self) -> float:
        """At the clock."""
        self._looks += 1
        if self._looks in self.fate.leaves_at_look:
            self.control.pull(Stop.LEAVING)
        if self._looks in self.fate.cancelled_at_look:
            self._cancel()
        return self.now

    def _cancel(self) -> None:
        self.cancelled = True
        self.control.pull(Stop.CANCELLED)

    def _sleep(self, step: Step) -> None:
        """Until something wakes the run."""
        if step.attempt != self.attempt:
            self.before.append(self.durable)
            self.attempt, self.durable = step.attempt, {}
        elif self._woken or self._is_called_back():
            return
        times = [one.ends for one in self.called_runs.values() if one.ends > self.now and not one.dropped]
        times += [] if step.due is None else [step.due]
        assert times, "nothing will ever wake it"
        assert step.due is None or step.due > self.now, "it would be woken at once, again and again"
        self.now = max(self.now, min(times))

    def _is_called_back(self) -> bool:
        """Whether a called run has ended that was under way when the worker looked last."""
        waiting = (span for span in self.durable.values() if span.status is SpanStatus.WAITING)
        return any(self._child(span.child)[0] is not None for span in waiting)

    def _live(self, lease: int, started: float) -> Step | None:
        executor = self._executor()
        self.control = Control(lease, 0.0)
        self._woken = False
        claimed = _claimed(lease, started, self.now, self.attempt, cancelled=self.cancelled)
        try:
            left = executor.suspended.take([claimed]) if self.fate.keeps else {}
            step = executor.advance(claimed, self.control, left.get(claimed.id) or self.journaled())
            assert step is not None
            self.write([step])
        except Killed:
            self._worker = None
            return None
        finally:
            self.control.pull(Stop.LOST)
            executor._beside.shutdown(wait=True)
        executor.suspended.settle([(claimed.id, True)])
        return step

    def _executor(self) -> Executor:
        """Of the worker that has the run in hand: a new one, or the one that left it."""
        handlers = {"http": self.work, "fail": self.fail, "stop": _stop}
        made = Executor(_NoDatabase(), handlers, self.write, None, self.blobs)  # type: ignore[arg-type]
        made.contexts = _Contexts(self.pattern)  # type: ignore[assignment]
        if self.alone:
            made._beside = _Alone()  # type: ignore[assignment]
        if self._worker is not None:
            made.suspended = self._worker.suspended
        self._worker = made
        return made

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
            self._cancel()
        if call in self.fate.leaves:
            self.control.pull(Stop.LEAVING)
        if call in self.fate.slow and "last" not in context.path:
            self.now += SLOW
            self.control.poke()
        if context.remaining() <= 0:
            raise NodeError("timeout", "too slow")
        if context.cancelled.is_set():
            raise NodeError("cancelled", "given up", retryable=False)
        if call in self.fate.fails:
            raise NodeError("connection", "no luck")
        return _ATTEMPTS.sub("", context.path)

    def fail(self, context: NodeContext, inputs: JSON) -> JSON:
        if not self.fate.mended:
            raise NodeError("failed", "as the pattern says", retryable=False)

    def write(self, steps: Sequence[Step]) -> list[Outcome]:
        with self._mutex:
            self._writes += 1
            write = self._writes
        if write in self.fate.dies_before_write:
            raise Killed
        for step in steps:
            self._keep(step)
        if write in self.fate.posts:
            self._posted += 1
            self._woken = True
            self.control.poke()
        if write in self.fate.dies_after_write:
            raise Killed
        return [Outcome(True, ()) for _ in steps]

    def _keep(self, step: Step) -> None:
        self.durable.update({span.path: span for span in step.spans})
        self.taken += [event for event, _ in step.consumed]
        for child in step.children:
            status, takes = self.fate.called_runs[len(self.called_runs) % len(self.fate.called_runs)]
            self.called_runs[child.id] = CalledRun(status, self.now + takes)
        for orphan in step.orphans:
            self.called_runs[orphan].dropped = True

    def _events(self, *_: Any) -> list[RunEvent]:
        return [
            RunEvent(id=event, name="paid", body="paid", actor=None, at=self.now)
            for event in range(1, 1 + (len(self.taken) + 100 if self.fate.mended else self._posted))
            if event not in self.taken
        ]

    def _ended_children(self, _: Any, ids: Sequence[str]) -> list[EndedChild]:
        ended = [(id_, *self._child(id_)) for id_ in ids]
        return [EndedChild(id_, status, *rest) for id_, status, *rest in ended if status is not None]

    def _child(self, id_: str | None) -> tuple[str | None, JSON, JSON]:
        """Status, output and error of a called run that has ended."""
        child = self.called_runs.get(id_ or "")
        if child is None or child.ends > self.now:
            return None, None, None
        well = child.status == "completed"
        return child.status, "given" if well else None, None if well else {"message": "no luck there"}

    def journaled(self) -> list[Journaled]:
        return [_row(span, self._child(span.child)) for span in self.durable.values()]

    def _watching_ends(self) -> Any:
        concluded: Callable[..., Step] = endings.conclude

        def watch(run: RunState, end: End, ending: RunStatus | None) -> Step:
            self.end = (end, ending)
            self.last = run
            self.rows = {**self.durable, **run.unsaved.spans}
            return concluded(run, end, ending)

        return patch("runner.endings.conclude", watch)

    def journal(self) -> dict[str, Span]:
        """Of the last attempt that has begun."""
        return next((rows for rows in (self.durable, *reversed(self.before)) if rows), {})

    def once_more(self, kept: Mapping[str, str], fate: Fate) -> World:
        """The run again, as a new one that begins with what is `kept`: the paths here with those there."""
        journal = self.journal()
        rows = {new: journal[old]._replace(path=new, wake=None) for old, new in kept.items()}
        return World(self.pattern, fate, now=self.now + 1_000.0, durable=rows, _ids=self._ids)

    def replayed(self) -> RunState:
        """What somebody makes of the journal as it was when the end was found."""
        claimed = _claimed(1, self.now, self.now, self.attempt, cancelled=False)
        rows = [_row(span, self._child(span.child)) for span in self.rows.values()]
        return RunState(claimed, _Contexts(self.pattern).get(), Control(1, 0.0), rows)


def _stop(context: NodeContext, inputs: JSON) -> JSON:
    return "stopped"


class _Alone(futures.Executor):
    """One node after another: which thread is quicker makes no difference."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> futures.Future[Any]:
        done: futures.Future[Any] = futures.Future()
        try:
            done.set_result(work(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - as a thread of the pool would have it
            done.set_exception(error)
        return done


class _NoDatabase:
    """What would be asked of it is answered by the world."""

    def connection(self) -> Any:
        return nullcontext()


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
            calls={"callee": "v"},
            assets=None,  # type: ignore[arg-type]
            network=(),
            connections=NO_CONNECTIONS,
            secrets=GivenSecrets({}),
        )


def _claimed(lease: int, started: float, now: float, attempt: int, *, cancelled: bool) -> ClaimedRun:
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
        attempt=attempt,
        cancelled=cancelled,
        parent_id=None,
        root_id=None,
        depth=0,
        started_at=started,
        now=now,
    )


def _row(span: Span, called: tuple[str | None, JSON, JSON]) -> Journaled:
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
        child=span.child,
        child_status=called[0],
        child_output=called[1],
        child_error=called[2],
        size=0,
    )
