"""The loop that takes a run as far as it goes: asks the engine what is next, and performs it.

How results are kept, and how nodes run side by side, is for those who fill it in: the executor on a worker, with
the database, and the rehearsal of a test, without it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from runner import endings
from runner.attempts import Attempts
from runner.cords import Cord, Stop
from runner.engine import Entry, Next, Place
from runner.state import RunState
from store.journal import Step
from store.runs import RunStatus


class LeaseLost(Exception):
    """Another worker has this run: whatever is not written stays unwritten."""


class Loop(ABC):
    def __init__(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def run(self, run: RunState) -> Step:
        """Until the run ends or has to wait. Gives the last step, not written yet."""
        refused = endings.refused_input(run)
        if refused is not None:
            return refused
        while True:
            if run.control.given_up:
                return _let_go(run)
            now = run.clock()
            ending = _ending(run, now)
            found = run.flow.next(now, halting=ending is not None)
            if found.end is not None:
                return endings.conclude(run, found.end, ending)
            if run.control.live.due:
                run.control.live.due = False
                self._flush(run)
            if not self._proceed(run, found):
                return endings.waiting(run, found.wake, ending)

    @abstractmethod
    def _flush(self, run: RunState) -> None:
        """Make durable what is not: what comes next may have an effect that depends on it."""

    @abstractmethod
    def _perform_beside(self, run: RunState, place: Place, known: Entry | None, cord: Cord) -> None:
        """Perform a node while others of the run go on."""

    @abstractmethod
    def _await(self, run: RunState, wake: float | None) -> None:
        """Until a node at work is done, a timer is over, or something else has happened."""

    def _proceed(self, run: RunState, found: Next) -> bool:
        """Do what can be done now. False: nothing can."""
        for place in found.halt:
            run.halt(place.path)
        for path in found.pull:
            run.cords[path].pull()
        for close in found.closes:
            run.settle(self._attempts.close(run, close))
        if run.unsaved.hurries:
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
        if any(place.step.effect for place in found.ready):
            if run.control.leaving:
                # A worker that is asked to stop gives its runs back before their next effect.
                run.control.pull(Stop.LEAVING)
                return
            self._flush(run)
        # In the run's own thread where nothing else of the run can be waiting for that.
        alone = len(found.ready) == 1 and not (found.working or found.waiting)
        for place in found.ready:
            cord = Cord(run.control, place.frame.sheltered)
            known = run.journal.get(place.path)
            if alone or not place.step.effect:
                run.settle(self._attempts.perform(run, place, known, cord))
            else:
                self._perform_beside(run, place, known, cord)


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
