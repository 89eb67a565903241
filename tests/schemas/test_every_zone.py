"""For every time zone and ten years, each slot of the wall clock fires as its policy says.

The other calculation walks over the minutes of UTC, looks at what the clock on the wall shows in each, and reads
cron lines by itself. `WEFT_EXAMPLES` of 1000 and more takes every line and policy at every change of every zone.
"""

from __future__ import annotations

import os
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import takewhile
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

import pytest

from schemas.schedule import ELAPSED, ONCE, Dst, Gap, Repeat, Schedule
from schemas.schedules import fires, slots
from schemas.zones import next_change

REFERENCE = datetime(2026, 11, 21, tzinfo=UTC)
BEGIN, END = REFERENCE.replace(year=2021), REFERENCE.replace(year=2031)
ZONES = sorted(available_timezones())
EVERYTHING = int(os.environ.get("WEFT_EXAMPLES", "0")) >= 1000
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AROUND = 4 * HOUR

LINES = [
    "30 2 * * *",
    "*/30 2 * * *",
    "0 1-3 * * *",
    "0 */2 * * *",
    "30 * * * *",
    "*/20 * * * *",
    "0 0 * * *",
    "15 0-1,23 * * SUN",
    "@daily",
    "@hourly",
    "15,45 30 2 * * *",
    "59 59 * * * *",
    "20 5 * * MON-FRI",
]
POLICIES = [None, *(Dst(gap=gap, overlap=overlap) for gap in (*Gap, None) for overlap in Repeat)]


class Change(NamedTuple):
    at: datetime
    before: timedelta
    after: timedelta


def offset(zone: ZoneInfo, at: datetime) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


@cache
def changes(name: str) -> tuple[Change, ...]:
    """By looking at every day, then at every hour and minute of those at whose end the offset is another."""
    return tuple(sought(ZoneInfo(name), BEGIN, END, (DAY, HOUR, MINUTE)))


def sought(zone: ZoneInfo, begin: datetime, end: datetime, steps: tuple[timedelta, ...]) -> Iterator[Change]:
    step, *finer = steps
    before = offset(zone, begin)
    while begin < end:
        begin += step
        after = offset(zone, begin)
        if after != before and finer:
            yield from sought(zone, begin - step, begin, tuple(finer))
        elif after != before:
            yield Change(begin, before, after)
        before = after


# A reader of cron lines of its own


def numbers(field: str, low: int, high: int) -> frozenset[int]:
    days = {"SUN": "0", "MON": "1", "TUE": "2", "WED": "3", "THU": "4", "FRI": "5", "SAT": "6"}
    for name, number in days.items():
        field = field.replace(name, number)
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "-", str(high)) if span == "*" else span.partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found & set(range(low, high + 1)))


class Line(NamedTuple):
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    weekdays: frozenset[int]

    def names(self, wall: datetime) -> bool:
        return (
            wall.minute in self.minutes and wall.hour in self.hours and wall.isoweekday() % 7 in self.weekdays
        )


@cache
def read(cron: str) -> Line:
    cron = {"@daily": "0 0 * * *", "@hourly": "0 * * * *"}.get(cron, cron)
    second, minute, hour, day, month, weekday = cron.split() if cron.count(" ") == 5 else ["0", *cron.split()]
    assert (day, month) == ("*", "*"), "it reads no more than these tests need"
    return Line(numbers(second, 0, 59), numbers(minute, 0, 59), numbers(hour, 0, 23), numbers(weekday, 0, 6))


def walked(schedule: Schedule, begin: datetime, end: datetime) -> list[datetime]:
    """When it fires in [begin, end), of which no part is inside a gap, by what the wall shows in each minute."""
    line, zone = read(schedule.cron or ""), ZoneInfo(schedule.timezone)
    policy = schedule.dst or (ELAPSED if line.hours == frozenset(range(24)) else ONCE)
    shown: dict[datetime, list[datetime]] = defaultdict(list)
    found: set[datetime] = set()
    at, before = begin, (begin - MINUTE).astimezone(zone).replace(tzinfo=None)
    while at < end:
        wall = at.astimezone(zone).replace(tzinfo=None)
        shown[wall].append(at)
        skipped = before + MINUTE
        while skipped < wall and policy.gap is Gap.SHIFT:
            if line.names(skipped):
                found.add(at)
            skipped += MINUTE
        at, before = at + MINUTE, wall
    chosen = {Repeat.FIRST: slice(0, 1), Repeat.SECOND: slice(-1, None), Repeat.BOTH: slice(None)}
    for wall, instants in shown.items():
        if line.names(wall):
            taken = instants[chosen[policy.overlap]]
            found.update(instant + timedelta(seconds=second) for instant in taken for second in line.seconds)
    return sorted(found)


def fired(schedule: Schedule, begin: datetime, end: datetime) -> list[datetime]:
    after = fires(schedule, begin - timedelta(microseconds=1))
    return list(takewhile(lambda at: at < end, after))


def nearby(change: Change) -> list[str]:
    """Lines with hours at which, before which and behind which the clock of the wall changes."""
    wall = min(change.at + change.before, change.at + change.after)
    hours = sorted({(wall + hours * HOUR).hour for hours in (-1, 0, 1)})
    return [f"*/20 {wall.hour} * * *", f"30 {','.join(map(str, hours))} * * *", f"7,40 0 {wall.hour} * * *"]


def same(schedule: Schedule, begin: datetime, end: datetime) -> None:
    assert fired(schedule, begin, end) == walked(schedule, begin, end), schedule


def all_changes() -> Iterator[tuple[str, Change]]:
    return ((name, change) for name in ZONES for change in changes(name))


def whole(change: Change) -> tuple[datetime, datetime]:
    """Far enough around it that what the clock shows twice is seen twice."""
    return change.at - AROUND, change.at + AROUND


def test_every_change_of_every_zone_is_known_to_the_second() -> None:
    for name in ZONES:
        at, found = BEGIN, []
        while change := next_change(name, at, END):
            found.append(Change(change.at, change.before, change.after))
            at = change.at
        assert found == list(changes(name)), name
    assert sum(len(changes(name)) for name in ZONES) > 3000


def test_at_every_change_of_every_zone_each_slot_fires_once() -> None:
    for number, (name, change) in enumerate(all_changes()):
        lines = nearby(change)
        for cron in lines if EVERYTHING else [lines[number % len(lines)]]:
            same(Schedule(cron=cron, timezone=name), *whole(change))


def test_at_each_kind_of_change_every_line_fires_as_every_policy_says() -> None:
    kinds: dict[object, tuple[str, Change]] = {}
    for name, change in all_changes():
        local = (change.at + change.before).time()
        kind = (name, change) if EVERYTHING else (change.after - change.before, local)
        kinds.setdefault(kind, (name, change))
    assert len(kinds) > 20
    for number, (name, change) in enumerate(kinds.values()):
        for nth, cron in enumerate([*LINES, *nearby(change)]):
            policies = (
                POLICIES if EVERYTHING else {None: None, POLICIES[(number + nth) % len(POLICIES)]: None}
            )
            for policy in policies:
                same(Schedule(cron=cron, timezone=name, dst=policy), *whole(change))


def test_between_the_changes_every_zone_fires_as_the_wall_says() -> None:
    chance = random.Random(20261121)
    for number, name in enumerate(ZONES):
        begin = BEGIN + timedelta(minutes=chance.randrange(int((END - BEGIN) / MINUTE)))
        end = begin + DAY + HOUR
        if any(begin - DAY < change.at < end + DAY for change in changes(name)):
            continue
        same(Schedule(cron=LINES[number % len(LINES)], timezone=name), begin, end)


@pytest.mark.parametrize(
    ("zone", "cron", "begin", "wanted"),
    [
        # Thirty minutes, two hours, a day that is missing, Ramadan, an offset that changes for good.
        ("Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00", ["2026-10-03T15:30"]),
        ("Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00", ["2026-04-04T14:45"]),
        ("Antarctica/Troll", "30 1 * * *", "2026-03-28T12:00", ["2026-03-29T01:00"]),
        ("Antarctica/Troll", "30 1 * * *", "2026-10-24T12:00", ["2026-10-24T23:30"]),
        ("Pacific/Apia", "0 9 30 12 *", "2011-12-29T12:00", ["2011-12-30T10:00"]),
        ("Africa/Casablanca", "30 2 * * *", "2026-03-22T12:00", ["2026-03-23T01:30"]),
        ("Africa/Casablanca", "30 2 * * *", "2026-02-14T12:00", ["2026-02-15T01:30"]),
        ("Asia/Almaty", "30 23 * * *", "2024-02-29T12:00", ["2024-02-29T17:30"]),
    ],
)
def test_odd_changes(zone: str, cron: str, begin: str, wanted: list[str]) -> None:
    at = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    found = fired(Schedule(cron=cron, timezone=zone), at, at + DAY)
    assert [one.strftime("%Y-%m-%dT%H:%M") for one in found] == wanted


def test_slots_that_the_clock_skips_and_nobody_wants_elsewhere_are_told_once() -> None:
    schedule = Schedule(cron="*/20 2 * * *", timezone="Europe/Berlin", dst=Dst(gap=Gap.SKIP))
    at = datetime(2026, 3, 29, tzinfo=UTC)
    found = takewhile(lambda slot: slot.at < at + 2 * DAY, slots(schedule, at))
    assert [(slot.at.day, slot.at.hour, slot.at.minute, slot.in_gap) for slot in found] == [
        (29, 1, 0, True),
        *((30, 0, minute, False) for minute in (0, 20, 40)),
    ]
