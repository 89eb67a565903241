"""Fires schedules. Any number may run at once: a unique row per schedule and instant decides who fires."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson
import redis

from runner.broker import BellBroker
from runner.state import dump
from schemas.deployment import deployment_from_spec
from schemas.pattern import Schedule, pattern_from_spec
from schemas.schedules import next_fire
from schemas.times import timestamp
from store import schedules
from store.admission import Answer
from store.database import DEPLOYMENTS_CHANGED, Connection, Database, StoreUnavailable
from store.hot import HotConnection
from store.ids import new_id
from store.notifications import Listener
from store.runs import NewRun
from store.schedules import Scheduled

log = logging.getLogger(__name__)

LOOK = 30.0
"""Seconds between two looks when nothing is due before."""

LATE = timedelta(seconds=60)
"""How late a slot may be fired: as long as a restart takes, so that none is lost by one."""


@dataclass(frozen=True, slots=True)
class Ticking:
    """One live schedule of one deployment, from `since` on."""

    deployment_id: int
    schedule: Schedule
    since: datetime

    @property
    def key(self) -> str:
        """The same as long as the schedule says the same, wherever it stands in its list."""
        said = self.schedule
        return orjson.dumps([said.cron, said.every, said.timezone, said.input]).decode()


def ticking(live: Scheduled) -> list[Ticking]:
    """The deployment's own schedules, else its pattern's."""
    own = deployment_from_spec(live.spec).schedules
    found = pattern_from_spec(live.pattern, live.pattern_spec).schedules if own is None else own
    return [Ticking(live.deployment_id, schedule, live.since) for schedule in found]


def due(tick: Ticking, after: datetime, until: datetime) -> Iterator[datetime]:
    """The slots in (`after`, `until`], none before the schedule went live."""
    slot = next_fire(tick.schedule, max(after, tick.since))
    while slot <= until:
        yield slot
        slot = next_fire(tick.schedule, slot)


class Scheduler:
    def __init__(self, database: Database, redis_url: str) -> None:
        self._database = database
        self._connection = HotConnection(database)
        self._broker = BellBroker(redis_url)
        self._changed = threading.Event()
        self._live: list[Ticking] = []
        self._checked: datetime | None = None

    def run(self, stop: threading.Event) -> None:
        changed = self._changed.set
        listener = Listener(self._database, {DEPLOYMENTS_CHANGED: lambda _: changed()}, changed)
        listener.start()
        while not stop.is_set():
            self._changed.wait(self._round(stop))
        listener.stop()
        self._connection.close()
        self._broker.close()

    def wake(self) -> None:
        """Make `run` look at its `stop` now."""
        self._changed.set()

    def _round(self, stop: threading.Event) -> float:
        """Fire what is due; gives the seconds until the next slot."""
        try:
            return self._connection.run(self._fire_due)
        except StoreUnavailable as error:
            log.warning("schedules_failed", extra={"error": str(error)})
            return 0.0 if stop.wait(1.0) else 1.0

    def _fire_due(self, connection: Connection) -> float:
        if self._changed.is_set() or self._checked is None:
            self._changed.clear()
            self._live = [tick for live in schedules.scheduled(connection) for tick in ticking(live)]
        now = schedules.clock(connection)
        after = now - LATE if self._checked is None else max(self._checked, now - LATE)
        for tick in self._live:
            for slot in due(tick, after, now):
                self._fire(connection, tick, slot, now)
        self._checked = now
        upcoming = (next_fire(tick.schedule, max(now, tick.since)) for tick in self._live)
        waits = [max(0.0, (slot - now).total_seconds()) for slot in upcoming]
        return min([LOOK, *waits])

    def _fire(self, connection: Connection, tick: Ticking, slot: datetime, now: datetime) -> None:
        trigger = {
            "kind": "schedule",
            "time": timestamp(slot.timestamp()),
            "receivedAt": timestamp(now.timestamp()),
        }
        run = NewRun(
            id=new_id(),
            deployment_id=tick.deployment_id,
            kind="schedule",
            trigger=dump(trigger),
            input=None if tick.schedule.input is None else dump(tick.schedule.input),
        )
        verdict = schedules.fire(connection, run, tick.key, slot)
        if verdict is None:
            return
        if not verdict.accepted:
            log.warning("slot_skipped", extra={"deployment": tick.deployment_id, "reason": verdict.answer})
        self._ring([*([run.id] if verdict.answer is Answer.PENDING else []), *verdict.ring])

    def _ring(self, runs: Sequence[str]) -> None:
        try:
            self._broker.ring([run] for run in runs)
        except redis.RedisError as error:
            log.warning("broker_away", extra={"error": str(error), "runs": len(runs)})
