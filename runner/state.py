"""One run in a worker's hands: its journal so far, and what of it is not durable yet."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import orjson

from runner.contexts import RunContext
from runner.engine import Entry, output_of
from runner.program import Step
from schemas.pattern import JSON
from schemas.times import timestamp
from store.journal import ChildRun
from store.journal import Step as Write
from store.leases import ClaimedRun
from store.runs import RunStatus
from store.spans import SETTLED, Journaled, Span, SpanStatus


class Stop(StrEnum):
    """Why a worker lets go of a run that has not come to its end."""

    CANCELLED = "cancelled"  # somebody asked for it
    LOST = "lost"  # the lease is another worker's: nothing may be written
    LEAVING = "leaving"  # the worker is asked to stop: somebody else goes on


class Control:
    """The run's emergency cord: whoever pulls it first says why."""

    def __init__(self, lease: int, since: float) -> None:
        self.lease = lease
        self.since = since
        self.leaving = False  # at the next node boundary, please
        self.reason: Stop | None = None

    def is_set(self) -> bool:
        """Whether somebody pulled: what nodes at work ask every now and then."""
        return self.reason is not None

    def pull(self, reason: Stop) -> None:
        if self.reason is None:
            self.reason = reason


@dataclass(slots=True)
class Result:
    """One attempt of one node, done. `output` is the entry's as JSON text, where it was made already."""

    entry: Entry
    started: float
    ended: float | None = None
    log: list[JSON] = field(default_factory=list)
    child: ChildRun | None = None
    output: str | None = None


class RunState:
    def __init__(
        self, claimed: ClaimedRun, context: RunContext, control: Control, journaled: Sequence[Journaled]
    ) -> None:
        self.claimed = claimed
        self.context = context
        self.control = control
        self.beside: queue.SimpleQueue[tuple[Step, Entry | None, Future[Result]]] = queue.SimpleQueue()
        self.journal: dict[str, Entry] = {}
        self.reached: dict[str, int] = {}
        self.unsaved: dict[str, Span] = {}
        self.children: list[ChildRun] = []
        self.deadline = claimed.started_at + context.timeout
        self._offset = claimed.now - time.time()
        self._started: dict[str, float] = {}
        self._outputs: dict[str, JSON] = {}
        for row in journaled:
            self._restore(row)
        self.scope = self._base_scope()

    def clock(self) -> float:
        """Now, in seconds since the epoch by the database's clock."""
        return time.time() + self._offset

    def apply(self, step: Step, result: Result) -> None:
        """Take a result into the journal; it is durable after the next write."""
        entry = result.entry
        self.journal[step.path] = entry
        started = self._started.setdefault(step.path, result.started)
        if entry.status in SETTLED:
            self._outputs[step.node.id] = output_of(entry)
        if result.child is not None:
            self.children.append(result.child)
        self.unsaved[step.path] = _span(step.path, entry, started, result)

    def open_steps(self) -> Iterator[tuple[Step, Entry]]:
        """What has begun and has not been settled."""
        by_path = self.context.program.by_path
        for path, entry in self.journal.items():
            if entry.status in (SpanStatus.RUNNING, SpanStatus.WAITING):
                yield by_path[path], entry

    def step(self, status: RunStatus, **fields: Any) -> Write:
        """What is not durable yet, as one write that leaves the run in `status`."""
        spans, self.unsaved = list(self.unsaved.values()), {}
        children, self.children = self.children, []
        run = self.claimed
        fields.setdefault("attempt", run.attempt)
        return Write(
            run_id=run.id,
            lease=run.lease,
            status=status,
            span_attempt=run.attempt,
            parent_id=run.parent_id,
            spans=spans,
            children=children,
            **fields,
        )

    def _restore(self, row: Journaled) -> None:
        entry = _entry(row)
        self.journal[row.path] = entry
        if row.started is not None:
            self._started[row.path] = row.started
        if row.status in SETTLED:
            self._outputs[row.path.rsplit("/", 1)[-1]] = output_of(entry)

    def _base_scope(self) -> dict[str, Any]:
        run = self.claimed
        return {
            "trigger": run.trigger,
            "input": run.input,
            "nodes": self._outputs,
            "vars": self.context.variables,
            "run": {"id": run.id, "attempt": run.attempt, "startedAt": timestamp(run.started_at)},
            "deployment": self.context.deployment,
            "version": self.context.version,
        }


def _entry(row: Journaled) -> Entry:
    entry = Entry(row.status, row.attempt, row.output, row.error, row.wake, row.child, row.child_status)
    if row.status is SpanStatus.RUNNING:
        entry.taken = row.output["taken"]
    if row.status is SpanStatus.WAITING and row.child is not None:
        entry.output, entry.error = row.child_output, row.child_error
    return entry


def _span(path: str, entry: Entry, started: float, result: Result) -> Span:
    output = result.output
    if output is None:
        output = _text({"taken": entry.taken} if entry.taken is not None else entry.output)
    return Span(
        path,
        entry.status,
        entry.attempt,
        started,
        result.ended,
        output,
        _text(entry.error),
        dump(result.log) if result.log else None,
        entry.wake,
        entry.child,
    )


def _text(value: JSON) -> str | None:
    return None if value is None else dump(value)


def dump(value: JSON) -> str:
    return orjson.dumps(value).decode()
