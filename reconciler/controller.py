"""The loop that finishes what crashed, and takes up what changed in Git without a push through Weft."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from reconciler.git.errors import GitError
from reconciler.reconciler import Reconciler
from store.database import Database, StoreError
from store.repositories import organisations

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two looks at a repository that is in step
FIRST_RETRY = 1.0  # seconds; doubles up to EVERY


class Outcome(StrEnum):
    READY = "ready"  # the database says what the refs say
    WAITING = "waiting"  # something did not answer: tried again soon
    STALLED = "stalled"  # somebody has to do something: looked at again all the same


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How one organisation's last look ended, and when the next one is due (monotonic seconds)."""

    outcome: Outcome
    due: float
    failures: int = 0
    said: str = ""


class ReconcileLoop:
    """Looks at every organisation at the start and then again and again. Any number may run: the lock decides."""

    def __init__(self, reconciler: Reconciler, database: Database, *, every: float = EVERY) -> None:
        self._reconciler = reconciler
        self._database = database
        self._every = every
        self.turns: dict[str, Turn] = {}

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            self.tick(time.monotonic())
            stop.wait(self._pause(time.monotonic()))

    def tick(self, now: float) -> None:
        """Look at every organisation that is due."""
        for organisation in self._organisations():
            turn = self.turns.get(organisation)
            if turn is None or turn.due <= now:
                self.turns[organisation] = self._turn(organisation, turn, now)

    def _organisations(self) -> list[str]:
        """Those with a repository, and those that the database knows: a lost folder must not go unnoticed."""
        found = set(self._reconciler.organisations())
        try:
            with self._database.connection() as connection:
                found |= set(organisations(connection))
        except StoreError as error:
            log.warning("reconcile_waiting", extra={"error": str(error)})
        return sorted(found)

    def _turn(self, organisation: str, before: Turn | None, now: float) -> Turn:
        try:
            done = self._reconciler.reconcile(organisation)
        except StoreError as error:
            return self._waiting(organisation, before, now, str(error))
        except GitError as error:
            return self._stalled(organisation, before, now, str(error))
        if done.changed and done.plan is not None:
            log.info("reconciled", extra={"organisation": organisation, "summary": done.plan.summary})
        if done.problems:
            return self._stalled(organisation, before, now, str(done.problems[0]))
        return Turn(outcome=Outcome.READY, due=now + self._every)

    def _waiting(self, organisation: str, before: Turn | None, now: float, said: str) -> Turn:
        failures = (before.failures if before else 0) + 1
        pause = min(FIRST_RETRY * 2 ** min(failures - 1, 10), self._every)
        log.warning(
            "reconcile_waiting", extra={"organisation": organisation, "error": said, "again_in": pause}
        )
        return Turn(outcome=Outcome.WAITING, due=now + pause, failures=failures, said=said)

    def _stalled(self, organisation: str, before: Turn | None, now: float, said: str) -> Turn:
        """Said once, not every half minute."""
        if before is None or before.said != said:
            log.error("reconcile_stalled", extra={"organisation": organisation, "error": said})
        return Turn(outcome=Outcome.STALLED, due=now + self._every, said=said)

    def _pause(self, now: float) -> float:
        due = min((turn.due for turn in self.turns.values()), default=now + self._every)
        # A repository that was made meanwhile is noticed without waiting for another's turn.
        return max(0.0, min(due - now, self._every))
