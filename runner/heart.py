"""A worker's heart: holds its runs, hears of those that it holds no more, and gives back what it left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence

from runner.cords import Stop
from runner.hands import Hands
from store import leases
from store.database import Database, StoreUnavailable
from store.leases import LEASE

log = logging.getLogger(__name__)


class Heart:
    """`ring` announces runs to workers. Runs are given with their leases."""

    def __init__(self, database: Database, hands: Hands, ring: Callable[[Sequence[str]], None]) -> None:
        self._database = database
        self._hands = hands
        self._ring = ring
        self._stopping = threading.Event()
        self._abandoned: list[tuple[str, int]] = []
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def abandon(self, runs: Iterable[tuple[str, int]]) -> None:
        """Nobody works on these: they are given back with a beat, if they are still ours to give."""
        self._abandoned.extend(runs)

    def give_back(self) -> None:
        """What was abandoned, now. Raises StoreUnavailable."""
        abandoned = self._abandoned[:]
        with self._database.connection() as connection:
            self._ring(leases.give_back(connection, abandoned))
        del self._abandoned[: len(abandoned)]

    def _beat(self) -> None:
        while not self._stopping.wait(LEASE / 4):
            held = self._hands.held(for_seconds=LEASE / 5)
            try:
                if held:
                    self._renew(held)
                if self._abandoned:
                    self.give_back()
            except StoreUnavailable as error:
                log.warning("database_away", extra={"error": str(error), "runs": len(held)})

    def _renew(self, held: Sequence[tuple[str, int]]) -> None:
        with self._database.connection() as connection:
            renewed = leases.renew(connection, held)
        for run, _ in held:
            if run not in renewed:
                self._hands.pull(run, Stop.LOST)
            elif renewed[run]:
                self._hands.pull(run, Stop.CANCELLED)
