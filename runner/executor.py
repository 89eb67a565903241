"""Runs a run: asks the engine what is next, performs it, and has the journal written before any effect."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from runner import endings
from runner.attempts import Attempts
from runner.contexts import Contexts
from runner.engine import Entry, Next, next_steps
from runner.nodes.base import NodeHandler
from runner.program import Step as Place
from runner.state import Control, RunState, Stop
from store.database import Database, StoreUnavailable
from store.journal import Outcome, Step
from store.leases import ClaimedRun
from store.runs import RunStatus
from store.spans import Journaled, SpanStatus

log = logging.getLogger(__name__)

Write = Callable[[Sequence[Step]], Sequence[Outcome]]


class LeaseLost(Exception):
    """Another worker has this run: whatever is not written stays unwritten."""


class Executor:
    """Takes claimed runs as far as they go. `write` makes steps durable; it may be shared by many threads."""

    def __init__(self, database: Database, handlers: Mapping[str, NodeHandler], write: Write) -> None:
        self.contexts = Contexts(database)
        self._attempts = Attempts(database, handlers)
        self._write = write
        # For nodes of one run that run at the same time; a list in order needs none of them.
        self._beside = ThreadPoolExecutor(max_workers=64, thread_name_prefix="node")

    def close(self) -> None:
        self._beside.shutdown(wait=False, cancel_futures=True)

    def advance(self, claimed: ClaimedRun, control: Control, journaled: Sequence[Journaled]) -> Step | None:
        """Execute until the run ends or has to wait. Gives the last step, not written yet; None: lease lost."""
        try:
            key = (claimed.deployment_id, claimed.revision, claimed.version_id)
            run = RunState(claimed, self.contexts.get(*key), control, journaled)
            return self._loop(run)
        except (LeaseLost, StoreUnavailable):
            # Without the database nothing more can be known of this run: whoever claims it next goes on.
            return None
        except Exception as error:
            log.exception("run_broken", extra={"run": claimed.id})
            return endings.broken(claimed, error)

    def _loop(self, run: RunState) -> Step:
        refused = endings.refused_input(run)
        if refused is not None:
            return refused
        while True:
            if run.control.reason is not None or run.claimed.cancelled:
                return _interrupted(run)
            now = run.clock()
            if now >= run.deadline:
                return endings.timed_out(run)
            found = next_steps(run.context.program, run.journal, now, run.reached)
            if found.end is not None:
                return endings.conclude(run, found.end, random.random())
            if not (found.closes or found.ready or found.working):
                return endings.waiting(run, found.wake)
            self._proceed(run, found)

    def _proceed(self, run: RunState, found: Next) -> None:
        for close in found.closes:
            run.apply(close.step, endings.closed(run, close))
        if found.ready and _must_leave(run, found.ready):
            run.control.pull(Stop.LEAVING)
        elif found.ready:
            self._perform(run, found.ready, alone=len(found.ready) == 1 and not found.working)
        elif found.working and not found.closes:
            step, _, done = run.beside.get()
            run.apply(step, done.result())

    def _perform(self, run: RunState, steps: Sequence[Place], *, alone: bool) -> None:
        if any(step.effect for step in steps):
            self._flush(run)
        for step in steps:
            known = run.journal.get(step.path)
            if alone or not step.effect:
                run.apply(step, self._attempts.perform(run, step, known))
            else:
                self._perform_beside(run, step, known)

    def _perform_beside(self, run: RunState, step: Place, known: Entry | None) -> None:
        run.journal[step.path] = Entry(SpanStatus.RUNNING)
        future = self._beside.submit(self._attempts.perform, run, step, known)
        future.add_done_callback(lambda done: run.beside.put((step, known, done)))

    def _flush(self, run: RunState) -> None:
        """Make durable what is not: what comes next may have an effect that depends on it."""
        if run.unsaved or run.children:
            step = run.step(RunStatus.RUNNING)
            if not self._write([step])[0].kept:
                raise LeaseLost


def _must_leave(run: RunState, ready: Sequence[Place]) -> bool:
    """A worker that is asked to stop gives its runs back before their next effect."""
    return run.control.leaving and any(step.effect for step in ready)


def _interrupted(run: RunState) -> Step:
    if run.control.reason is Stop.LOST:
        raise LeaseLost
    _settle_beside(run)
    if run.control.reason is Stop.LEAVING and not run.claimed.cancelled:
        return run.step(RunStatus.PENDING)
    return endings.ended(run, RunStatus.CANCELLED)


def _settle_beside(run: RunState) -> None:
    """Wait for the nodes at work. What they completed counts; what they gave up is as if it had not begun."""
    working = sum(1 for entry in run.journal.values() if _is_working(entry))
    for _ in range(working):
        step, known, done = run.beside.get()
        result = done.result()
        if result.entry.status is SpanStatus.COMPLETED:
            run.apply(step, result)
        elif known is not None:
            run.journal[step.path] = known
        elif run.control.reason is Stop.LEAVING:
            del run.journal[step.path]


def _is_working(entry: Entry) -> bool:
    return entry.status is SpanStatus.RUNNING and entry.taken is None
