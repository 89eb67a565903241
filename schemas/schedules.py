"""When a schedule fires. Pure; time is an argument.

Day-light saving: a schedule with fixed hours fires once for each slot on the wall clock; where the slot does
not exist, at the first instant after the gap; where it exists twice, the first time. A schedule that runs in
every hour goes by elapsed time and is not touched.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

from croniter import CroniterError, croniter

from schemas.pattern import Schedule

_FIELD: Final = re.compile(r"[0-9*/,#?LA-Za-z-]+")
_WORDS: Final = frozenset(
    {"L"}
    | {"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
    | {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
)
_LONGEST: Final = 200
_TICK: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def check(cron: str, timezone: str) -> str | None:
    """What is wrong with a cron line or its time zone, or None."""
    return check_cron(cron) or check_timezone(timezone)


@lru_cache(maxsize=4096)
def check_cron(cron: str) -> str | None:
    """What is wrong with a cron line, or None. Five fields, or six with the seconds first."""
    fields = cron[:_LONGEST].split()
    if len(cron) > _LONGEST:
        return f"a cron line has at most {_LONGEST} characters"
    if len(fields) not in {5, 6}:
        return f"{cron!r} has not five fields (or six with the seconds first)"
    for one in fields:
        words = re.findall(r"[A-Za-z]+", one)
        if not _FIELD.fullmatch(one) or any(word.upper() not in _WORDS for word in words):
            return f"{one!r} cannot be read as a field of a cron line"
    try:
        _following(cron, datetime(2024, 1, 1))
    except (CroniterError, ValueError, ArithmeticError) as error:
        reason = str(error).removeprefix(f"[{cron.upper()}] ").removeprefix("is not acceptable").strip(", .")
        return f"{cron!r} is not a cron line that ever fires" + (f": {reason}" if reason else "")
    return None


def check_timezone(timezone: str) -> str | None:
    """What is wrong with the name of a time zone, or None."""
    return None if timezone in timezone_names() else f"there is no time zone called {timezone!r}"


@lru_cache(maxsize=1)
def timezone_names() -> frozenset[str]:
    """The time zones of the system and of the package `tzdata`."""
    return frozenset(available_timezones())


def next_fire(schedule: Schedule, after: datetime) -> datetime:
    """The first instant strictly after `after` (aware) at which the schedule fires, in UTC.

    `every` counts from the epoch, so that all schedulers agree. Raises ValueError for a bad cron line.
    """
    if schedule.every is not None:
        return _next_multiple(schedule.every, after)
    if schedule.cron is None:
        raise ValueError("a schedule has either `cron` or `every`")
    zone = ZoneInfo(schedule.timezone)
    after = after.astimezone(UTC)
    if _in_every_hour(schedule.cron):
        return _by_elapsed_time(schedule.cron, zone, after)
    return _by_wall_clock(schedule.cron, zone, after)


def _next_multiple(every: float, after: datetime) -> datetime:
    step = timedelta(seconds=every)
    return _EPOCH + step * (math.floor((after - _EPOCH) / step) + 1)


def _in_every_hour(cron: str) -> bool:
    return cron.split()[-4] in {"*", "*/1", "0-23", "?"}


def _following(cron: str, wall: datetime) -> datetime:
    """The next slot on a wall clock (naive)."""
    fields = cron.upper().split()
    walker = croniter(" ".join(fields), wall, second_at_beginning=len(fields) == 6)
    slot: datetime = walker.get_next(datetime)
    return slot


def _by_wall_clock(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    slot = after.astimezone(zone).replace(tzinfo=None)
    while True:
        slot = _following(cron, slot)
        instant = _first_instant(slot, zone)
        if instant > after:
            return instant


def _first_instant(slot: datetime, zone: ZoneInfo) -> datetime:
    """When the wall clock first shows the slot; for one that it skips, the end of the gap."""
    instant = slot.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == slot:
        return instant
    # Within a gap the first reading takes the offset before it, and so lies after the change.
    return _change(zone, instant - timedelta(days=1), instant)


def _by_elapsed_time(cron: str, zone: ZoneInfo, after: datetime) -> datetime:
    start, offset = after, _offset(zone, after)
    while True:
        slot = _following(cron, (start + offset).replace(tzinfo=None))
        instant = slot.replace(tzinfo=UTC) - offset
        if _offset(zone, instant) == offset:
            return instant
        change = _change(zone, start, instant)
        start, offset = change - _TICK, _offset(zone, change)


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _change(zone: ZoneInfo, before: datetime, until: datetime) -> datetime:
    """The instant in (before, until] at which the zone's offset becomes that of `until`."""
    offset = _offset(zone, until)
    low, high = int(before.timestamp()), math.ceil(until.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, datetime.fromtimestamp(middle, UTC)) == offset:
            high = middle
        else:
            low = middle
    return datetime.fromtimestamp(high, UTC)
