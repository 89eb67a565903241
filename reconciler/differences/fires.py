"""When the schedules of a deployment would fire next. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from schemas import schedules
from schemas.schedule import Schedule

SHOWN = 3


def next_fires(listed: Iterable[Schedule], now: datetime) -> tuple[datetime, ...]:
    """The next instants of all of them together, UTC; fewer where there are no more."""
    return tuple(sorted({at for schedule in listed for at in instants(schedule, now)})[:SHOWN])


def instants(schedule: Schedule, now: datetime) -> tuple[datetime, ...]:
    """The next instants of one, UTC."""
    return schedules.next_fires(schedule, now, SHOWN)
