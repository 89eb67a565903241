"""When schedules fire, also where the clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.cron import check_cron
from schemas.schedule import Schedule
from schemas.schedule_rules import check_timezone
from schemas.schedules import next_fires

BERLIN = "Europe/Berlin"


def fires(cron: str, timezone: str, after: str, count: int) -> list[str]:
    """The next times, on the wall clock of the time zone with its offset."""
    schedule, at = Schedule(cron=cron, timezone=timezone), datetime.fromisoformat(after)
    found = []
    for _ in range(count):
        at = next_fire(schedule, at)
        found.append(at.astimezone(ZoneInfo(timezone)).strftime("%m-%d %H:%M%z"))
    return found


def next_fire(schedule: Schedule, after: datetime) -> datetime:
    [found] = next_fires(schedule, after, 1)
    return found


def test_a_fixed_hour_that_does_not_exist_fires_at_the_end_of_the_gap() -> None:
    assert fires("30 2 * * *", BERLIN, "2026-03-28T00:00:00Z", 3) == [
        "03-28 02:30+0100",
        "03-29 03:00+0200",
        "03-30 02:30+0200",
    ]


def test_several_slots_in_the_gap_fire_once() -> None:
    assert fires("*/20 2 * * *", BERLIN, "2026-03-28T01:30:00Z", 3) == [
        "03-28 02:40+0100",
        "03-29 03:00+0200",
        "03-30 02:00+0200",
    ]


def test_a_fixed_hour_that_exists_twice_fires_the_first_time_only() -> None:
    assert fires("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]
    assert fires("30 2 * * *", BERLIN, "2026-10-25T01:10:00Z", 1) == ["10-26 02:30+0100"]


def test_a_schedule_of_every_hour_goes_by_elapsed_time() -> None:
    assert fires("30 * * * *", BERLIN, "2026-10-24T23:40:00Z", 3) == [
        "10-25 02:30+0200",
        "10-25 02:30+0100",
        "10-25 03:30+0100",
    ]
    assert fires("30 * * * *", BERLIN, "2026-03-28T23:40:00Z", 3) == [
        "03-29 01:30+0100",
        "03-29 03:30+0200",
        "03-29 04:30+0200",
    ]


def test_every_counts_from_the_epoch() -> None:
    schedule = Schedule(every=900.0)
    assert next_fire(schedule, datetime(2026, 1, 1, 10, 7, tzinfo=UTC)) == datetime(
        2026, 1, 1, 10, 15, tzinfo=UTC
    )
    assert next_fire(schedule, datetime(2026, 1, 1, 10, 15, tzinfo=UTC)) == datetime(
        2026, 1, 1, 10, 30, tzinfo=UTC
    )


def test_six_fields_have_the_seconds_first() -> None:
    schedule = Schedule(cron="15 0 9 * * MON-FRI")
    assert next_fire(schedule, datetime(2026, 11, 20, 12, tzinfo=UTC)) == datetime(
        2026, 11, 23, 9, 0, 15, tzinfo=UTC
    )


def test_a_day_of_the_month_or_one_of_its_weekdays_is_enough() -> None:
    assert fires("0 9 L * 5#2", "UTC", "2026-11-21T00:00:00Z", 4) == [
        "11-30 09:00+0000",
        "12-11 09:00+0000",
        "12-31 09:00+0000",
        "01-08 09:00+0000",
    ]
    assert fires("0 0 9 10 * L5", "UTC", "2026-11-21T00:00:00Z", 3) == [
        "11-27 09:00+0000",
        "12-10 09:00+0000",
        "12-25 09:00+0000",
    ]
    assert fires("0 9 ? * 5#2", "UTC", "2026-11-21T00:00:00Z", 2) == ["12-11 09:00+0000", "01-08 09:00+0000"]


@pytest.mark.parametrize(
    ("cron", "timezone"),
    [
        ("0 9 * * MON-FRI", "UTC"),
        ("0 0 L * *", BERLIN),
        ("0 0 * * 5#2", "UTC"),
        ("0 0 1 * 5#2", "UTC"),
        ("0 0 0 L * L5", "UTC"),
        ("*/5 * * * *", "US/Eastern"),
    ],
)
def test_good_cron_lines_pass(cron: str, timezone: str) -> None:
    assert check_cron(cron) is None
    assert check_timezone(timezone) is None


@pytest.mark.parametrize(
    "cron",
    [
        *("", "* * * *", "* * * * * * *", "@reboot", "@noon", "60 * * * *", "R * * * *", "H * * * *"),
        *("0 0 30 2 *", "*/0 * * * *", "0\0 * * * *"),
    ],
)
def test_bad_cron_lines_are_refused(cron: str) -> None:
    assert check_cron(cron)


def test_unknown_time_zones_are_refused() -> None:
    for timezone in ("", "Europe/Berlim", "../../etc/passwd", "Europe"):
        assert check_timezone(timezone)


CRONS = [
    "30 2 * * *",
    "*/20 1-3 * * *",
    "15 * * * *",
    "* * * * *",
    "0 0 1 * *",
    "59 59 23 * * *",
    "0 2 29 2 *",
]
ZONES = [
    BERLIN,
    "America/New_York",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Apia",
]


@settings(max_examples=150, deadline=None)
@given(
    cron=st.sampled_from(CRONS),
    zone=st.sampled_from(ZONES),
    after=st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
def test_the_next_time_lies_ahead_and_nothing_lies_between(cron: str, zone: str, after: datetime) -> None:
    schedule = Schedule(cron=cron, timezone=zone)
    following = next_fire(schedule, after)
    assert following > after
    middle = after + (following - after) / 2
    assert next_fire(schedule, middle) == following
    assert next_fire(schedule, following - timedelta(microseconds=1)) == following
