"""When the schedules of a deployment would fire next. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice

from schemas.pattern import Schedule
from schemas.schedules import next_fire

SHOWN = 3


def next_fires(schedules: Iterable[Schedule], now: datetime) -> tuple[datetime, ...]:
    """The next instants of all of them together, UTC."""
    return tuple(sorted({at for schedule in schedules for at in instants(schedule, now)})[:SHOWN])


def instants(schedule: Schedule, now: datetime) -> tuple[datetime, ...]:
    """The next instants of one, UTC."""
    return tuple(islice(_following(schedule, now), SHOWN))


def _following(schedule: Schedule, now: datetime) -> Iterator[datetime]:
    while True:
        now = next_fire(schedule, now)
        yield now
