"""Runs a run: asks the engine what is next, performs it, and has the journal written before any effect."""

from __future__ import annotations

import logging
import queue
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from runner import endings
from runner.attempts import Attempts
from runner.contexts import Contexts
from runner.engine import Entry, Next, Place
from runner.nodes.base import NodeError, NodeHandler
from runner.state import Control, Cord, Done, RunState, Stop
from store import spans
from store.blobs import Blobs
from store.database import Database, StoreUnavailable
from store.journal import Outcome, Step
from store.leases import ClaimedRun
from store.runs import RunStatus
from store.spans import Journaled

log = logging.getLogger(__name__)

Write = Callable[[Sequence[Step]], Sequence[Outcome]]


class LeaseLost(Exception):
    """Another worker has this run: whatever is not written stays unwritten."""


class Executor:
    """Takes claimed runs as far as they go. `write` makes steps durable; it may be shared by many threads."""

    def __init__(
        self,
        database: Database,
        handlers: Mapping[str, NodeHandler],
        write: Write,
        blobs: Blobs | None = None,
    ) -> None:
        self.contexts = Contexts(database)
        self._database = database
        self._attempts = Attempts(database, handlers)
        self._write = write
        self._blobs = blobs
        # For nodes of one run that run at the same time; a list in order needs none of them.
        self._beside = ThreadPoolExecutor(max_workers=64, thread_name_prefix="node")

    def close(self) -> None:
        self._beside.shutdown(wait=False, cancel_futures=True)

    def advance(self, claimed: ClaimedRun, control: Control, journaled: Sequence[Journaled]) -> Step | None:
        """Execute until the run ends or has to wait. Gives the last step, not written yet; None: lease lost."""
        try:
            key = (claimed.deployment_id, claimed.revision, claimed.version_id)
            if claimed.cancelled:
                control.pull(Stop.CANCELLED)
            run = RunState(claimed, self.contexts.get(*key), control, journaled, self._blobs)
            return self._loop(run)
        except (LeaseLost, StoreUnavailable):
            # Without the database nothing more can be known of this run: whoever claims it next goes on.
            return None
        except NodeError as error:
            return endings.outright(claimed, error)
        except Exception as error:
            log.exception("run_broken", extra={"run": claimed.id})
            return endings.broken(claimed, error)

    def _loop(self, run: RunState) -> Step:
        refused = endings.refused_input(run)
        if refused is not None:
            return refused
        while True:
            if run.control.reason in (Stop.LOST, Stop.LEAVING):
                return _let_go(run)
            now = run.clock()
            ending = _ending(run, now)
            found = run.flow.next(now, halting=ending is not None)
            if found.end is not None:
                return endings.conclude(run, found.end, ending, random.random())
            if run.control.live.due:
                run.control.live.due = False
                self._flush(run)
            if not self._proceed(run, found):
                return endings.waiting(run, found.wake, ending)

    def _proceed(self, run: RunState, found: Next) -> bool:
        """Do what can be done now. False: nothing can."""
        for place in found.halt:
            run.halt(place.path)
        for path in found.pull:
            run.cords[path].pull()
        for close in found.closes:
            run.apply(close.place.path, self._attempts.close(run, close))
        if run.must_save:
            self._flush(run)
        if found.ready:
            self._perform(run, found)
        elif found.halt or found.closes:
            return True
        elif found.working:
            self._await(run, found.wake)
        else:
            return False
        return True

    def _perform(self, run: RunState, found: Next) -> None:
        effects = any(place.step.effect for place in found.ready)
        if effects and run.control.leaving:
            # A worker that is asked to stop gives its runs back before their next effect.
            run.control.pull(Stop.LEAVING)
            return
        if effects:
            self._flush(run)
        # In the run's own thread where nothing else of the run can be waiting for that.
        alone = len(found.ready) == 1 and not (found.working or found.waiting)
        for place in found.ready:
            cord = Cord(run.control, sheltered=place.frame.sheltered)
            known = run.journal.get(place.path)
            if alone or not place.step.effect:
                run.settle(place.path, known, self._attempts.perform(run, place, known, cord))
            else:
                self._perform_beside(run, place, known, cord)

    def _perform_beside(self, run: RunState, place: Place, known: Entry | None, cord: Cord) -> None:
        run.work_on(place, cord)
        future = self._beside.submit(self._attempts.perform, run, place, known, cord)
        future.add_done_callback(lambda result: run.control.inbox.put(Done(place, known, result)))

    def _await(self, run: RunState, wake: float | None) -> None:
        """Until a node at work is done, a timer is over, or something else has happened."""
        if run.concerns_others:
            self._flush(run)
        inbox = run.control.inbox
        if run.control.live.watched:
            self._flush(run)
        try:
            done = inbox.get(timeout=None if wake is None else max(0.0, wake - run.clock()))
            while True:
                if done is not None:
                    run.take(done)
                elif run.control.reason is None:
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
        run.events = None
        for _, _, entry in run.waiting():
            entry.poked = entry.child is None and entry.error is None

    def _flush(self, run: RunState) -> None:
        """Make durable what is not: what comes next may have an effect that depends on it."""
        if not run.saved:
            step = run.step(RunStatus.RUNNING)
            if not self._write([step])[0].kept:
                raise LeaseLost


def _ending(run: RunState, now: float) -> RunStatus | None:
    """Why the run has to come to its end now, if it has to."""
    if run.control.reason is Stop.CANCELLED:
        return RunStatus.CANCELLED
    return RunStatus.TIMEOUT if now >= run.deadline else None


def _let_go(run: RunState) -> Step:
    """Give the run back, or up. What nodes at work completed counts."""
    if run.control.reason is Stop.LOST:
        raise LeaseLost
    while run.cords:
        done = run.control.inbox.get()
        if done is not None:
            run.take(done)
    return run.step(RunStatus.PENDING)
