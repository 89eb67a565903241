"""When a schedule fires. Pure; time is an argument.

A slot is an instant. Of a cron line it is one at which the zone's wall clock shows a time that the line names.
Where the clock changes, `Schedule.policy` decides: slots that the clock skips move to the end of the gap, all to
one instant, or are passed over; of those that it shows twice, the first, the second or both fire. A line that runs
in every hour fires whenever the clock shows such a time, and so goes by elapsed time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from schemas.cron import cron_line
from schemas.schedule import Gap, Repeat, Schedule
from schemas.zones import ClockChange, next_change, offset_at

_TICK: Final = timedelta(microseconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Slot:
    """`in_gap`: the clock skips it, and its schedule wants nothing in its place."""

    at: datetime
    in_gap: bool = False


def next_fires(schedule: Schedule, after: datetime, count: int) -> tuple[datetime, ...]:
    """The next `count` of them, fewer where there are no more."""
    return tuple(islice(fires(schedule, after), count))


def fires(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """The instants strictly after `after` at which it fires, in their order."""
    return (slot.at for slot in slots(schedule, after) if not slot.in_gap)


def slots(schedule: Schedule, after: datetime) -> Iterator[Slot]:
    """The slots strictly after `after`, in their order."""
    after = after.astimezone(UTC)
    if schedule.start is not None:
        after = max(after, schedule.start - _TICK)
    for slot in _all_slots(schedule, after):
        if schedule.end is not None and slot.at > schedule.end:
            return
        yield slot


def _all_slots(schedule: Schedule, after: datetime) -> Iterator[Slot]:
    if schedule.every is not None:
        return _multiples(schedule.every, after)
    if schedule.cron is None:
        raise ValueError("a schedule has either `cron` or `every`")
    return _Wall(schedule).slots(after)


def _multiples(every: float, after: datetime) -> Iterator[Slot]:
    """From the epoch, so that all controllers agree."""
    step = timedelta(seconds=every)
    count = (after - _EPOCH) // step
    while True:
        count += 1
        yield Slot(_EPOCH + step * count)


class _Wall:
    """The slots of a cron line, from one change of the clock to the next: between them the offset is the same."""

    def __init__(self, schedule: Schedule) -> None:
        self._line = cron_line(schedule.cron or "")
        self._policy = schedule.policy
        self._name = schedule.timezone
        self._zone = ZoneInfo(schedule.timezone)

    def slots(self, after: datetime) -> Iterator[Slot]:
        looked, offset = after, offset_at(self._name, after)
        while True:
            wall = self._line.after((after + offset).replace(tzinfo=None))
            if wall is None:
                return
            at = wall.replace(tzinfo=UTC) - offset
            change = next_change(self._name, looked, at)
            if change is None:
                if self._fires(at):
                    yield Slot(at)
                after = looked = at
                continue
            looked, offset = change.at, change.after
            moved = self._moved(change)
            if moved is not None:
                yield moved
            after = change.at if moved is not None else change.at - _TICK

    def _moved(self, change: ClockChange) -> Slot | None:
        """What becomes of the slots in a gap; None where there are none, or one is at its end anyhow."""
        if change.after <= change.before or self._policy.gap is None:
            return None
        skipped = self._line.after(change.last_wall - _TICK)
        if skipped is None or skipped >= change.first_wall:
            return None
        if self._line.after(change.first_wall - _TICK) == change.first_wall:
            return None
        return Slot(change.at, in_gap=self._policy.gap is Gap.SKIP)

    def _fires(self, at: datetime) -> bool:
        """Whether it is that one of two that fires."""
        if self._policy.overlap is Repeat.BOTH:
            return True
        local = at.astimezone(self._zone)
        if self._policy.overlap is Repeat.FIRST:
            return local.fold == 0
        return local.replace(fold=1).utcoffset() == local.utcoffset()
