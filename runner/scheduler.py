"""Fires schedules. Any number may run at once: whoever holds a schedule's row decides about its slots."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import redis

from runner import backfilling
from runner.broker import BellBroker
from runner.firing import fire, follow
from runner.program import LIGHT
from runner.ticking import GRACE, Ticking
from schemas.pattern import JSON, written_blocks
from schemas.schedule import schedules_from
from store import backfills, schedules, slots
from store.database import BACKFILLS_CHANGED, DEPLOYMENTS_CHANGED, Connection, Database, StoreUnavailable
from store.hot import HotConnection
from store.notifications import Changed, Listener
from store.schedules import Scheduled, TickerKey

log = logging.getLogger(__name__)

LOOK = 10.0
"""Seconds between two looks at the database's clock when nothing is due before: it may be set."""

AGAIN = timedelta(seconds=1)
"""After which a schedule that another controller held is looked at again: that one may have died over it."""

WAITING = 0.2
"""Seconds between two looks at slots that wait for a run to end."""

FILLING = 0.1
"""Seconds between two steps of backfills."""

SHARED = 16
"""Runs of light patterns that share one message, and so a worker's thread and commit."""

BATCH = 250
"""Schedules that fire in one transaction."""

LATE_BATCH = 20
"""Of those that are late by more than a restart: each may have much to catch up with, and others are due."""

KEPT = timedelta(days=30)
KEPT_SLOTS = 10_000
KEPT_AT_LEAST = timedelta(days=2)
"""A slot is remembered for `KEPT`, or as one of the last `KEPT_SLOTS`, but never shorter than that."""

TIDY = timedelta(hours=1)
SWEEP = timedelta(days=1)

Due = tuple[datetime, int, Ticking]
Batch = Sequence[Ticking]
Upto = Mapping[TickerKey, datetime]


def ticking(live: Scheduled, *, light: bool = False) -> list[Ticking]:
    """Its schedules, each once."""
    found = schedules_from(live.schedules)
    made = [Ticking(live.deployment_id, schedule, live.since, live.active_since, light) for schedule in found]
    return list({one.key: one for one in reversed(made)}.values())[::-1]


class Scheduler:
    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._connection = HotConnection(database)
        self._broker = BellBroker(redis_url)
        self._awake = threading.Event()
        self._lock = threading.Lock()
        self._changed: set[Changed] | None = None
        """What has changed since the last look; None: that is not known, all has to be read."""
        self._live: dict[TickerKey, Ticking] = {}
        self._heap: list[Due] = []
        self._light: dict[str, bool] = {}
        """Version id → whether there is nothing but light nodes in it; a version never changes."""
        self._order = itertools.count()
        self._seen: datetime | None = None
        self._looked: datetime | None = None
        self._waiting = True
        self._filling = True
        self._swept: datetime | None = None
        self._tidied: dict[TickerKey, datetime] = {}

    def run(self, stop: threading.Event) -> None:
        handlers = {DEPLOYMENTS_CHANGED: self._hear, BACKFILLS_CHANGED: self._fill}
        listener = Listener(self._database, handlers, self._forget)
        listener.start()
        while not stop.is_set():
            self._awake.wait(self._round(stop))
            self._awake.clear()
        listener.stop()
        self._connection.close()
        self._broker.close()

    def wake(self) -> None:
        """Make `run` look at its `stop` now."""
        self._awake.set()

    def _hear(self, payload: str) -> None:
        with self._lock:
            if self._changed is not None:
                self._changed.add(Changed.read(payload))
        self._awake.set()

    def _fill(self, _payload: str) -> None:
        self._filling = True
        self._awake.set()

    def _forget(self) -> None:
        with self._lock:
            self._changed = None
        self._awake.set()

    def _round(self, stop: threading.Event) -> float:
        """Fire what is due; gives the seconds until the next slot."""
        try:
            return self._connection.run(self._fire_due)
        except StoreUnavailable as error:
            log.warning("schedules_failed", extra={"error": str(error)})
            self._forget()
            return 0.0 if stop.wait(1.0) else 1.0

    def _fire_due(self, connection: Connection) -> float:
        now = schedules.clock(connection)
        if self._seen is not None and now < self._seen - schedules.SET_BACK:
            log.warning("clock_set_back", extra={"from": self._seen.isoformat(), "to": now.isoformat()})
            self._looked = None
            self._forget()
        self._seen = now
        self._refresh(connection)
        due = self._take(now)
        fresh = [one for at, _, one in due if at >= now - GRACE]
        late = [(at, order, one) for at, order, one in due if at < now - GRACE]
        for entry in late[LATE_BATCH:]:
            heapq.heappush(self._heap, entry)
        late_ones = [one for _, _, one in late[:LATE_BATCH]]
        done = [self._fire(connection, batch) for batch in (*_batches(fresh, BATCH), late_ones) if batch]
        for batch, upto in done:
            self._settle(batch, upto, now)
        self._tidy(connection, fresh, now)
        if self._filling:
            self._filling = False  # before it is looked: a new one may be heard of meanwhile
            ring, goes_on = backfilling.advance(connection)
            self._filling = self._filling or goes_on
            self._ring(ring)
        if self._waiting:
            followed = follow(connection, self._live)
            self._waiting = followed.waiting
            self._ring(followed.ring, followed.light)
        return self._until_next(connection)

    def _until_next(self, connection: Connection) -> float:
        wait = min(WAITING if self._waiting else LOOK, FILLING if self._filling else LOOK)
        if wait == LOOK and self._overlooked(connection):
            return 0.0
        if not self._heap:
            return wait
        left = (self._heap[0][0] - schedules.clock(connection)).total_seconds()
        return min(wait, max(0.0, left))

    def _overlooked(self, connection: Connection) -> bool:
        """Now and then: what another controller had in hand that is gone."""
        if self._seen is None or (self._looked is not None and self._seen < self._looked + AGAIN):
            return False
        self._looked = self._seen
        self._waiting = bool(slots.waiting(connection))
        self._filling = bool(backfills.running(connection))
        return self._waiting or self._filling

    def _refresh(self, connection: Connection) -> None:
        """Read what has changed, or everything."""
        with self._lock:
            changed, self._changed = self._changed, set()
        if changed == set():
            return
        found = schedules.scheduled(connection, changed)
        # What is as before keeps what it knows of its next slot.
        self._learn(connection, (live for live in found if live.schedules))
        light = {live.deployment_id: self._light.get(live.version_id or "", False) for live in found}
        made = [self._same(one) for live in found for one in ticking(live, light=light[live.deployment_id])]
        ids = None if changed is None else [live.deployment_id for live in found]
        upto = schedules.settle(connection, [one.live for one in made], ids)
        if ids is None:
            self._live, self._heap = {}, []
        else:
            gone = set(ids)
            self._live = {key: one for key, one in self._live.items() if key.deployment_id not in gone}
        self._live |= {one.key: one for one in made}
        for one in made:
            self._plan_usable(one, upto.get(one.key, one.since))

    def _learn(self, connection: Connection, found: Iterable[Scheduled]) -> None:
        """Which of their versions are light."""
        new = sorted({one.version_id for one in found if one.version_id} - self._light.keys())
        for at in range(0, len(new), BATCH):
            for version, nodes in schedules.nodes_of(connection, new[at : at + BATCH]).items():
                self._light[version] = LIGHT.issuperset(_uses(nodes))

    def _same(self, one: Ticking) -> Ticking:
        known = self._live.get(one.key)
        return known if known == one else one

    def _plan_usable(self, one: Ticking, upto: datetime) -> None:
        """One that was good once and cannot be used now, as its time zone is gone, stops no other."""
        try:
            self._plan(one, upto)
        except (ValueError, KeyError) as error:
            told = {"deployment": one.deployment_id, "schedule": one.said, "error": str(error)}
            log.error("schedule_unusable", extra=told)  # noqa: TRY400 - what it was is said

    def _plan(self, one: Ticking, upto: datetime) -> None:
        at = one.next_due(upto)
        if at is not None:
            heapq.heappush(self._heap, (at, next(self._order), one))

    def _take(self, now: datetime) -> list[Due]:
        """What is due, once each; what is no longer live is dropped."""
        due: dict[TickerKey, Due] = {}
        while self._heap and self._heap[0][0] <= now:
            entry = heapq.heappop(self._heap)
            if self._live.get(entry[2].key) is entry[2]:
                due.setdefault(entry[2].key, entry)
        return list(due.values())

    def _fire(self, connection: Connection, batch: Batch) -> tuple[Batch, Upto]:
        fired = fire(connection, batch)
        self._ring(fired.ring, fired.light)
        self._waiting = self._waiting or fired.waiting
        return batch, fired.upto

    def _settle(self, batch: Batch, upto: Upto, now: datetime) -> None:
        """Look for the next slots, when those that are due have all fired."""
        for one in batch:
            if one.key in upto:
                self._plan(one, upto[one.key])
            else:
                heapq.heappush(self._heap, (now + AGAIN, next(self._order), one))

    def _tidy(self, connection: Connection, fresh: Sequence[Ticking], now: datetime) -> None:
        """Forget old slots of what has just fired, once an hour; of what is no longer there, once a day."""
        if self._swept is None or self._swept <= now - SWEEP:
            self._swept = now
            slots.forget_gone(connection, now - KEPT)
        old = []
        for one in fresh:
            if self._tidied.get(one.key, now - TIDY) <= now - TIDY:
                self._tidied[one.key] = now
                following = one.next_due(now)
                apart = KEPT if following is None else (following - now) * KEPT_SLOTS
                old.append((one.key, now - max(KEPT_AT_LEAST, min(KEPT, apart))))
        if old:
            slots.forget(connection, old)

    def _ring(self, runs: Sequence[str], light: Sequence[str] = ()) -> None:
        """Announce runs; those of light patterns share messages, as those of webhooks do."""
        groups = [light[at : at + SHARED] for at in range(0, len(light), SHARED)] + [[run] for run in runs]
        if not groups:
            return
        try:
            self._broker.ring(groups)
        except redis.RedisError as error:
            log.warning("broker_away", extra={"error": str(error), "runs": len(runs) + len(light)})


def _uses(nodes: JSON) -> Iterator[str]:
    """The kinds of nodes, also of nested ones."""
    for node in nodes:
        yield node["uses"]
        for _, listed in written_blocks(node):
            yield from _uses(listed)


def _batches(items: Batch, size: int) -> Iterable[Batch]:
    return (items[at : at + size] for at in range(0, len(items), size))
