"""One run in a worker's hands: its journal so far, and what of it is not durable yet."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from runner.contexts import RunContext
from runner.cords import Control, Cord
from runner.engine import Entry, Flow, Place
from runner.layers import loaded
from runner.masking import Mask
from runner.program import POSTED_TO, Step, written_path
from runner.result import Result
from runner.unsaved import Unsaved
from schemas.json_text import dump
from schemas.pattern import JSON
from schemas.times import timestamp
from store import large
from store.blobs import Blobs, BlobsUnavailable
from store.database import StoreUnavailable
from store.journal import Step as Write
from store.leases import ClaimedRun
from store.run_events import RunEvent
from store.runs import RunStatus
from store.secret_uses import SecretUse
from store.spans import SETTLED, Journaled, Span, SpanStatus


class RunState:
    mask: Mask | None = None  # None: nothing secret was filled in, nor can be in what comes
    _used: frozenset[tuple[str, str]] = frozenset()

    def __init__(
        self,
        claimed: ClaimedRun,
        context: RunContext,
        control: Control,
        journaled: Sequence[Journaled],
        blobs: Blobs | None = None,
    ) -> None:
        """`blobs`: where values go that are too large for a row; None: nowhere."""
        self.claimed = claimed
        self.context = context
        self.control = control
        self.blobs = blobs
        self.journal: dict[str, Entry] = {}
        self.called_by: tuple[str, ...] = ()  # paths of the calls that led here, where stubs ask for them
        self.cords: dict[str, Cord] = {}
        self.events: list[RunEvent] | None = None  # None: not looked for yet
        self.deadline = claimed.started_at + context.timeout
        self.rows = 0  # of its journal that were read or written, and
        self.size = 0  # the characters of JSON in their outputs
        self.unsaved = Unsaved()
        self._open: set[str] = set()
        self._offset = claimed.now - time.time()
        if claimed.parent_id is not None:
            self.mask = context.secrets.mask_of_called(claimed.id, claimed.parent_id)
        for row in journaled:
            self._restore(row)
        self.flow = Flow(context.program, self.journal, self._scope(), self.deadline)

    def masking(self) -> Mask:
        """What is to be starred in this run, from here on."""
        if self.mask is None:
            self.mask = self.context.secrets.masks.of(self.claimed.id)
        return self.mask

    def resume(self, claimed: ClaimedRun, context: RunContext, control: Control) -> None:
        """Take it up where this worker left it."""
        self.claimed = claimed
        self.context = context
        self.control = control
        self._offset = claimed.now - time.time()

    def clock(self) -> float:
        """Now, in seconds since the epoch by the database's clock."""
        return time.time() + self._offset

    def chance(self) -> float:
        """In [0, 1): the dice for the jitter of retries."""
        return random.random()

    def apply(self, result: Result) -> None:
        """Take a result into the journal; it is durable after the next write."""
        path, entry = result.path, result.entry
        entry.started = result.started
        self.journal[path] = entry
        if entry.status not in SETTLED:
            self._open.add(path)
        elif result.known is not None:
            self._open.discard(path)
        if result.child is not None:
            self.unsaved.children.append(result.child)
        if result.consumed:
            self.unsaved.consumed += [(event, path) for event in result.consumed]
        self.unsaved.add(self._span(result))

    def work_on(self, place: Place, cord: Cord) -> None:
        """The node is being worked on beside the run's own thread: nothing of it is known until it is done."""
        self.journal[place.path] = Entry(SpanStatus.RUNNING)
        self.cords[place.path] = cord

    def take(self, done: Future[Result]) -> None:
        result = done.result()
        self.cords.pop(result.path, None)
        self.settle(result)

    def settle(self, result: Result) -> None:
        """Take a result, unless the worker lets go of the run: what a node gave up for that has not begun."""
        if result.uses:
            self._note_uses(result)
        if not self.control.given_up or result.entry.status is SpanStatus.COMPLETED:
            self.apply(result)
        elif result.known is not None:
            self.journal[result.path] = result.known
        else:
            self.journal.pop(result.path, None)

    def _note_uses(self, result: Result) -> None:
        """Once for each node of the pattern, however often it runs."""
        path, context, at = written_path(result.path), self.context, self.clock()
        for name in sorted(result.uses):
            if (path, name) not in self._used:
                self._used |= {(path, name)}
                use = SecretUse(context.organisation, context.environment, name, path, at)
                self.unsaved.uses.append(use)

    def halt(self, path: str) -> None:
        """End a node, or a container, that waits for what nobody wants any more."""
        entry = self.journal[path]
        if entry.child is not None and entry.child_status is None:
            self.unsaved.orphans.append(entry.child)
        result = Result(path, entry, entry.started or self.clock())
        result.entry = Entry(SpanStatus.CANCELLED, entry.attempt, error=entry.error, child=entry.child)
        result.ended = self.clock()
        self.apply(result)

    def halt_all(self) -> None:
        """The same for all that is open."""
        for path in sorted(self._open):
            self.halt(path)

    def answer(self, text: str) -> None:
        """Tell the caller that waits for the run, with the next write."""
        if self.unsaved.answer is None:
            self.unsaved.answer = self.put_away(text)

    def called(self) -> list[str]:
        """The called runs that it waits for."""
        return [entry.child for _, _, entry in self.waiting() if entry.child and not entry.child_status]

    def waiting(self) -> Iterator[tuple[Step, str, Entry]]:
        """The nodes that wait, with their paths."""
        for path in self._open:
            entry = self.journal.get(path)
            if entry is not None and entry.status is SpanStatus.WAITING:
                yield self.step_at(path), path, entry

    def posted_to(self) -> None:
        """There may be new events: the nodes that wait for such look again."""
        self.events = None
        for step, _, entry in self.waiting():
            entry.poked = step.node.uses in POSTED_TO and entry.error is None

    def step_at(self, path: str) -> Step:
        return self.context.program.by_path[written_path(path)]

    def step(self, status: RunStatus, **fields: Any) -> Write:
        """What is not durable yet, as one write that leaves the run in `status`."""
        unsaved, self.unsaved = self.unsaved, Unsaved()
        run = self.claimed
        fields.setdefault("attempt", run.attempt)
        return Write(
            run_id=run.id,
            lease=run.lease,
            status=status,
            span_attempt=run.attempt,
            parent_id=run.parent_id,
            spans=list(unsaved.spans.values()),
            children=unsaved.children,
            consumed=unsaved.consumed,
            orphans=unsaved.orphans,
            answer=unsaved.answer,
            uses=unsaved.uses,
            **fields,
        )

    def _restore(self, row: Journaled) -> None:
        entry = _entry(row, self.found)
        if entry is None:
            return
        self.journal[row.path] = entry
        self.rows += 1
        self.size += entry.output.size if type(entry.output) is large.Large else row.size
        if row.status not in SETTLED:
            self._open.add(row.path)
            entry.poked = entry.error is None and self.step_at(row.path).node.uses in POSTED_TO

    def found(self, value: JSON) -> JSON:
        """What a row holds: the value, or one that is loaded when somebody reads it."""
        return value if self.blobs is None else large.found(value, self.blobs)

    def text(self, value: JSON) -> str | None:
        """The value as a row holds it. Raises StoreUnavailable."""
        if value is None:
            return None
        if type(value) is large.Large:
            return value.text
        return self.put_away(dump(value))

    def put_away(self, text: str) -> str:
        try:
            return text if self.blobs is None else large.put_away(text, self.blobs)
        except BlobsUnavailable as error:
            raise StoreUnavailable(str(error)) from error

    def _span(self, result: Result) -> Span:
        entry = result.entry
        self.rows += 1
        if result.output is not None:
            self.size += len(result.output)
            output: str | None = self.put_away(result.output)
        else:
            output = self.text({"state": entry.state} if entry.state is not None else entry.output)
            self.size += entry.output.size if type(entry.output) is large.Large else len(output or "")
        return Span(
            result.path,
            entry.status,
            entry.attempt,
            result.started,
            result.ended,
            output,
            None if entry.error is None else dump(entry.error),
            dump(result.log) if result.log else None,
            entry.wake,
            entry.child,
        )

    def _scope(self) -> dict[str, Any]:
        run = self.claimed
        return {
            "trigger": run.trigger,
            "input": run.input,
            "vars": self.context.variables,
            "run": {"id": run.id, "attempt": run.attempt, "startedAt": timestamp(run.started_at)},
            "deployment": self.context.deployment,
            "version": self.context.version,
        }


def _entry(row: Journaled, found: Callable[[JSON], JSON]) -> Entry | None:
    entry = Entry(
        row.status,
        row.attempt,
        found(row.output),
        row.error,
        row.wake,
        row.child,
        row.child_status,
        started=row.started,
    )
    if row.status is SpanStatus.RUNNING:
        if row.output is None:
            return _interrupted(entry)
        entry.output, entry.state = None, loaded(entry.output)["state"]
    elif row.status is SpanStatus.WAITING and row.child is not None:
        entry.output, entry.error = found(row.child_output), row.child_error
    return entry


def _interrupted(entry: Entry) -> Entry | None:
    """A node that was at work when its worker died begins anew; the attempts before it count."""
    if entry.attempt == 1:
        return None
    error = {"type": "weft", "message": "its worker died"}
    return Entry(
        SpanStatus.WAITING, entry.attempt - 1, error=error, wake=entry.started, started=entry.started
    )
