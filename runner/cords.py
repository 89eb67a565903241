"""How word reaches a run at work, and its nodes: that somebody wants them to end, or that there is news."""

from __future__ import annotations

import queue
from concurrent.futures import Future
from enum import StrEnum

from runner.live import Live
from runner.result import Result


class Stop(StrEnum):
    """Why a worker lets go of a run that has not come to its end."""

    CANCELLED = "cancelled"  # somebody asked for it
    LOST = "lost"  # the lease is another worker's: nothing may be written
    LEAVING = "leaving"  # the worker is asked to stop: somebody else goes on


class Control:
    """The run's emergency cord: whoever pulls it first says why. `inbox` wakes the run's thread.

    In the inbox are nodes that were worked on beside that; None says that something else has happened.
    """

    def __init__(self, lease: int, since: float, attempt: int = 1) -> None:
        self.lease = lease
        self.since = since
        self.leaving = False  # at the next node boundary, please
        self.reason: Stop | None = None
        self.given_up = False  # the worker lets go of the run, whatever is under way
        self.inbox: queue.SimpleQueue[Future[Result] | None] = queue.SimpleQueue()
        self.live = Live(attempt)

    def pull(self, reason: Stop) -> None:
        # A cancelled run still has its `finally` to run: it can be lost, or left, after that.
        if self.reason is None or (self.reason is Stop.CANCELLED and reason is not Stop.CANCELLED):
            self.reason = reason
            self.given_up = reason is not Stop.CANCELLED
            self.poke()

    def poke(self) -> None:
        """A called run has ended, or somebody posted an event: look again."""
        self.inbox.put(None)


class Cord:
    """What a node at work asks every now and then: whether to give up."""

    __slots__ = ("_control", "_pulled", "_sheltered")

    def __init__(self, control: Control, sheltered: bool) -> None:
        self._control = control
        self._sheltered = sheltered
        self._pulled = False

    def pull(self) -> None:
        self._pulled = True

    def is_set(self) -> bool:
        reason = self._control.reason
        if reason is None or (self._sheltered and reason is Stop.CANCELLED):
            return self._pulled
        return True
