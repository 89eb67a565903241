"""Where the clocks of a time zone change. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

_STEP: Final = timedelta(days=1)
"""No zone changes its clock and changes it back within that."""


@dataclass(frozen=True, slots=True)
class ClockChange:
    """At the instant `at` (UTC) the zone's offset becomes `after`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def last_wall(self) -> datetime:
        """What the wall clock would show, had it not changed (naive)."""
        return (self.at + self.before).replace(tzinfo=None)

    @property
    def first_wall(self) -> datetime:
        """What it shows instead (naive)."""
        return (self.at + self.after).replace(tzinfo=None)


@lru_cache(maxsize=1)
def timezone_names() -> frozenset[str]:
    """The time zones of the system and of the package `tzdata`."""
    return frozenset(available_timezones())


def offset_at(zone: str, at: datetime) -> timedelta:
    return at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


def instant(at: datetime, zone: str, *, later: bool = False) -> datetime:
    """When the zone's clock shows a naive time; of the two where it shows it twice, the first, or the `later` one.

    For a time that it skips: as if it had not changed. A time with an offset is as it is.
    """
    if at.tzinfo is not None:
        return at.astimezone(UTC)
    return at.replace(tzinfo=ZoneInfo(zone), fold=int(later)).astimezone(UTC)


def next_change(zone: str, after: datetime, until: datetime) -> ClockChange | None:
    """The first change in (`after`, `until`]."""
    for year in range(after.year, until.year + 1):
        for change in _changes(zone, year):
            if after < change.at:
                return change if change.at <= until else None
    return None


@lru_cache(maxsize=16_384)
def _changes(zone: str, year: int) -> tuple[ClockChange, ...]:
    """Those of a year of UTC, in their order."""
    return tuple(_found(ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC), year))


def _found(zone: ZoneInfo, low: datetime, year: int) -> Iterator[ClockChange]:
    before = _offset(zone, low - timedelta(seconds=1))
    low -= timedelta(seconds=1)
    while low.year <= year:
        high = low + _STEP
        after = _offset(zone, high)
        if after != before:
            at = _bisected(zone, low, high)
            if at.year == year:
                yield ClockChange(at, before, after)
            before = after
        low = high


def _bisected(zone: ZoneInfo, low: datetime, high: datetime) -> datetime:
    """The instant in (low, high] from which on the offset is that of `high`."""
    offset = _offset(zone, high)
    while high - low > timedelta(seconds=1):
        middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
        if _offset(zone, middle) == offset:
            high = middle
        else:
            low = middle
    return high


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or timedelta()
