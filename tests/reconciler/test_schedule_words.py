"""What a plan says of schedules that have an end."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.differences.fires import next_fires
from reconciler.differences.triggers import ScheduleTeller
from schemas.schedule import schedules_from

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
ENDED = {"cron": "0 9 * * *", "until": "2026-01-31"}
ENDING = {"cron": "0 9 * * *", "timezone": "Europe/Berlin", "until": "2026-11-23"}


def told(before: list[dict[str, str]], after: list[dict[str, str]]) -> list[str]:
    return [change.text for change in ScheduleTeller(path="on.schedule", now=NOW).changes(before, after)]


def test_a_schedule_that_is_over_is_said_to_be() -> None:
    assert told([], [ENDED]) == ["trigger schedule added: 0 9 * * * in UTC, never fires again"]
    assert next_fires(schedules_from([ENDED]), NOW) == ()


def test_one_that_ends_soon_shows_what_is_left_of_it() -> None:
    line = "trigger schedule added: 0 9 * * * in Europe/Berlin, next 2026-11-22 09:00, 2026-11-23 09:00"
    assert told([], [ENDING]) == [line]
    assert len(next_fires(schedules_from([ENDED, ENDING]), NOW)) == 2


def test_what_else_changes_is_told_key_by_key() -> None:
    [line] = told([ENDING], [{**ENDING, "overlap": "skip"}])
    assert line.startswith("trigger schedule 0 9 * * * in Europe/Berlin: overlap")
