"""Looks after what nobody else does: timers that are over, leases of machines that are gone, bells unheard."""

from __future__ import annotations

import logging
import threading
import time

import redis

from runner.broker import BellBroker
from store import circuits, concurrency, deliveries, leases, run_keys, wakeups
from store.database import TIMER_SET, Connection, Database, StoreUnavailable
from store.hot import HotConnection
from store.notifications import Listener

log = logging.getLogger(__name__)

ROUND = 1.0
"""Seconds between two rounds when no timer is due before."""

TIDY = 60.0
"""Seconds between two times that what is kept for some days is looked through."""

BATCH = 1000

CROWDED = 100
"""Messages before which a run that nobody claimed yet is most likely in the queue, behind others."""

PATIENCE = 60.0
"""Seconds that it has then: ringing again for all who wait would only make the queue longer."""


class Sweeper:
    """Any number may run at once: each row is taken by one of them."""

    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._connection = HotConnection(database)
        self._broker = BellBroker(redis_url)
        self._timers = threading.Event()
        self._tidy_at = 0.0
        self._remembered = False

    def run(self, stop: threading.Event) -> None:
        listener = Listener(self._database, {TIMER_SET: lambda _: self._timers.set()}, self._timers.set)
        listener.start()
        while not stop.is_set():
            self._timers.clear()
            self._timers.wait(self._round(stop))
        listener.stop()
        self._connection.close()
        self._broker.close()

    def wake(self) -> None:
        """Make `run` look at its `stop` now."""
        self._timers.set()

    def _round(self, stop: threading.Event) -> float:
        """Gives the seconds until the next round."""
        try:
            self._connection.run(self._sweep)
            return min(ROUND, max(0.0, self._connection.run(wakeups.next_timer) or ROUND))
        except (StoreUnavailable, redis.RedisError) as error:
            log.warning("sweep_failed", extra={"error": str(error)})
            return 0.0 if stop.wait(ROUND) else ROUND

    def _sweep(self, connection: Connection) -> None:
        self._ring(wakeups.wake_due(connection, BATCH))
        self._ring(leases.free_expired(connection))
        self._ring_unclaimed(connection)
        self._ring(concurrency.settle(connection, concurrency.overdue(connection, BATCH)))
        circuits.settle_probes(connection)
        if time.monotonic() >= self._tidy_at:
            self._tidy_at = time.monotonic() + TIDY
            run_keys.forget_old(connection)
            deliveries.forget_old(connection)

    def _ring_unclaimed(self, connection: Connection) -> None:
        """All of them when the broker lost its memory, else those that should have been claimed by now."""
        if self._broker.remembers():
            self._remembered = True
            patience = PATIENCE if self._broker.waiting() > CROWDED else 0.0
            self._ring(wakeups.unclaimed(connection, BATCH, patience=patience))
            return
        # A broker that has just been started has nothing to remember.
        log.log(logging.WARNING if self._remembered else logging.INFO, "broker_forgot")
        for batch in wakeups.all_pending(connection, BATCH):
            self._ring(batch)

    def _ring(self, runs: list[str]) -> None:
        if runs:
            self._broker.ring([run] for run in runs)
