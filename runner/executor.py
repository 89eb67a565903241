"""Runs claimed runs on a worker: has the journal written before any effect, and nodes run side by side."""

from __future__ import annotations

import logging
import queue
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from runner import endings
from runner.attempts import Attempts
from runner.contexts import Contexts
from runner.cords import Control, Cord, Stop
from runner.engine import Entry, Place
from runner.loop import LeaseLost, Loop
from runner.nodes.base import NodeError, NodeHandler
from runner.outside import Stored
from runner.recall import recall
from runner.secrets import Book
from runner.state import RunState
from runner.suspended import Suspended
from store import run_reads, spans
from store.blobs import Blobs
from store.database import Database, StoreUnavailable
from store.execution import Ground
from store.journal import Outcome, Step
from store.leases import ClaimedRun
from store.runs import RunStatus
from store.spans import Journaled

log = logging.getLogger(__name__)

Write = Callable[[Sequence[Step]], Sequence[Outcome]]


class Executor(Loop):
    """Takes claimed runs as far as they go. `write` makes steps durable; it may be shared by many threads."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, NodeHandler],
        write: Write,
        book: Book,
        blobs: Blobs | None = None,
    ) -> None:
        super().__init__(Attempts(handlers, Stored(database)))
        self.contexts = Contexts(database, book)
        self.suspended = Suspended()
        self._database = database
        self._write = write
        self._blobs = blobs
        # For nodes of one run that run at the same time; a list in order needs none of them.
        self._beside = ThreadPoolExecutor(max_workers=64, thread_name_prefix="node")

    def close(self) -> None:
        self._beside.shutdown(wait=False, cancel_futures=True)

    def advance(
        self, claimed: ClaimedRun, control: Control, known: RunState | Sequence[Journaled]
    ) -> Step | None:
        """Execute until the run ends or has to wait. Gives the last step, not written yet; None: lease lost.

        `known` is the run as this worker left it, or its journal.
        """
        run = known if isinstance(known, RunState) else None
        try:
            if claimed.cancelled:
                control.pull(Stop.CANCELLED)
            run = self._take_up(claimed, control, known)
            return self.run(run)
        except (LeaseLost, StoreUnavailable):
            # Without the database nothing more can be known of this run: whoever claims it next goes on.
            return None
        except NodeError as error:
            return endings.outright(claimed, error, run)
        except Exception as error:  # noqa: BLE001 - the top of a run; what is told of it has no secrets
            _tell(claimed, run)
            return endings.broken(claimed, error, run)

    def run(self, run: RunState) -> Step:
        step = super().run(run)
        if step.status is RunStatus.WAITING and step.attempt == run.claimed.attempt:
            self.suspended.leave(run)
        return step

    def _take_up(
        self, claimed: ClaimedRun, control: Control, known: RunState | Sequence[Journaled]
    ) -> RunState:
        ground = Ground(claimed.deployment_id, claimed.revision, claimed.version_id, claimed.draft_id)
        context = self.contexts.get(ground)
        if isinstance(known, RunState):
            known.resume(claimed, context, control)
            self._look_again(known)
            return known
        run = RunState(claimed, context, control, known, self._blobs)
        if known or claimed.attempt > 1:
            recall(run)
        if context.stubs and claimed.parent_id is not None:
            run.called_by = self._called_by(claimed.id)
        return run

    def _called_by(self, run: str) -> tuple[str, ...]:
        with self._database.connection() as connection:
            return tuple(caller.path for caller in reversed(run_reads.callers(connection, run)))

    def _perform_beside(self, run: RunState, place: Place, known: Entry | None, cord: Cord) -> None:
        run.work_on(place, cord)
        future = self._beside.submit(self._attempts.perform, run, place, known, cord)
        future.add_done_callback(run.control.inbox.put)

    def _await(self, run: RunState, wake: float | None) -> None:
        if run.unsaved.concerns_others:
            self._flush(run)
        inbox = run.control.inbox
        if run.control.live.watched:
            self._flush(run)
        try:
            done = inbox.get(timeout=None if wake is None else max(0.0, wake - run.clock()))
            while True:
                if done is not None:
                    run.take(done)
                elif run.control.reason in (None, Stop.CANCELLED):
                    self._look_again(run)
                done = inbox.get_nowait()
        except queue.Empty:
            return

    def _look_again(self, run: RunState) -> None:
        """Called runs may have ended, events may have been posted."""
        waiting = {entry.child: entry for _, _, entry in run.waiting() if entry.error is None}
        if not waiting:
            return
        with self._database.connection() as connection:
            for child in spans.ended_children(connection, [one for one in waiting if one]):
                entry = waiting[child.id]
                entry.child_status, entry.error = child.status, child.error
                entry.output = run.found(child.output)
        run.posted_to()

    def _flush(self, run: RunState) -> None:
        if run.unsaved:
            step = run.step(RunStatus.RUNNING)
            if not self._write([step])[0].kept:
                raise LeaseLost


def _tell(claimed: ClaimedRun, run: RunState | None) -> None:
    """Of an exception, to whoever runs this: without what is secret in the run."""
    if run is None or run.mask is None:
        log.exception("run_broken", extra={"run": claimed.id})
    else:
        told = run.mask.cut_text(traceback.format_exc())
        log.error("run_broken", extra={"run": claimed.id, "traceback": told})
