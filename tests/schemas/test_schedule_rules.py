"""What a schedule may say, and what is said of one that may not be."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.documents import parse_file
from schemas.schedule import ELAPSED, ONCE, CatchUp, Dst, Fire, Gap, Overlap, Repeat, schedule_from

FILE = """\
apiVersion: weft/v1
kind: Pattern
metadata: {name: report}
spec:
  on: {schedule: [%s]}
  nodes: [{id: a, uses: set, with: {}}]
"""


def problems(schedule: str) -> list[tuple[str, str]]:
    found = parse_file("patterns/report.yaml", (FILE % schedule).encode()).problems
    return [(problem.code, problem.message) for problem in found]


@pytest.mark.parametrize(
    "schedule",
    [
        '{cron: "@daily"}',
        '{cron: "@Annually", dst: {overlap: both}}',
        '{cron: "0 0 9 * JAN-MAR MON#2", timezone: Asia/Kathmandu, catchUp: none}',
        '{cron: "0 9 * * *", from: 2026-03-01, until: 2026-03-01}',
        '{cron: "0 9 * * *", from: "2026-03-01T09:30", until: "2026-12-31T10:00:00+02:00"}',
        "{every: 1s, catchUp: {window: 30d, fire: latest}, overlap: cancel-oldest, jitter: 24h}",
        "{every: 1h, timezone: Europe/Berlin, from: 2026-03-01, catchUp: 90m}",
    ],
)
def test_good_schedules_pass(schedule: str) -> None:
    assert problems(schedule) == []


@pytest.mark.parametrize(
    ("schedule", "code", "words"),
    [
        ('{cron: "@reboot"}', "invalid-cron", "not tied to a machine"),
        ('{cron: "@often"}', "invalid-cron", "@yearly"),
        ("{every: 1h, dst: {gap: skip}}", "conflicting-keys", "elapsed time"),
        ('{cron: "0 9 * * *", dst: {}}', "invalid-value", "dst"),
        ('{cron: "0 9 * * *", dst: {gap: jump}}', "invalid-value", "gap"),
        ('{cron: "0 9 * * *", from: 2026-02-30}', "invalid-value", "2026-02-30"),
        ('{cron: "0 9 * * *", from: 2026-3-1}', "invalid-value", "from"),
        ('{cron: "0 9 * * *", from: "2026-03-01T25:00"}', "invalid-value", "25:00"),
        ('{cron: "0 9 * * *", from: 2026-03-02, until: 2026-03-01}', "invalid-value", "never fire"),
        ('{cron: "0 9 * * *", until: 9999-12-31}', "invalid-value", "9999"),
        ('{cron: "0 9 * * *", catchUp: sometimes}', "invalid-value", "catchUp"),
        ('{cron: "0 9 * * *", catchUp: 0s}', "invalid-value", "catchUp"),
        ('{cron: "0 9 * * *", catchUp: 31d}', "invalid-value", "31d"),
        ('{cron: "0 9 * * *", catchUp: {window: 31d}}', "invalid-value", "window"),
        ('{cron: "0 9 * * *", catchUp: {}}', "invalid-value", "empty"),
        ('{cron: "0 9 * * *", catchUp: 5}', "wrong-type", "catchUp"),
        ('{cron: "0 9 * * *", overlap: never}', "invalid-value", "overlap"),
        ('{cron: "0 9 * * *", jitter: 25h}', "invalid-value", "jitter"),
    ],
)
def test_what_a_schedule_may_not_say(schedule: str, code: str, words: str) -> None:
    found = problems(schedule)
    assert [one[0] for one in found] == [code], found
    assert words in found[0][1]


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ({"cron": "30 2 * * *"}, ONCE),
        ({"cron": "0 */2 * * *"}, ONCE),
        ({"cron": "30 * * * *"}, ELAPSED),
        ({"cron": "0 30 0-23/1 * * *"}, ELAPSED),
        ({"cron": "0 0-12,13-23 * * *"}, ELAPSED),
        ({"cron": "@hourly"}, ELAPSED),
        ({"every": "1h"}, ELAPSED),
        ({"cron": "30 2 * * *", "dst": {"gap": "skip"}}, Dst(gap=Gap.SKIP, overlap=Repeat.FIRST)),
        ({"cron": "30 * * * *", "dst": {"overlap": "first"}}, Dst(gap=None, overlap=Repeat.FIRST)),
    ],
)
def test_what_holds_where_the_clock_changes(said: dict[str, Any], policy: Dst) -> None:
    assert schedule_from(said).policy == policy


def test_defaults_and_short_forms() -> None:
    plain = schedule_from({"every": "1h"})
    assert (plain.overlap, plain.jitter, plain.catch_up) == (Overlap.ALLOW, 0.0, CatchUp())
    windows = {
        "none": CatchUp(),
        "latest": CatchUp(window=86_400, fire=Fire.LATEST),
        "all": CatchUp(window=86_400, fire=Fire.ALL),
        "1h": CatchUp(window=3_600, fire=Fire.ALL),
    }
    for short, meant in windows.items():
        assert schedule_from({"every": "1h", "catchUp": short}).catch_up == meant


def test_days_are_whole_and_times_are_on_the_zone_s_clock() -> None:
    said = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}
    days = schedule_from({**said, "from": "2026-03-29", "until": "2026-03-29"})
    assert days.start == datetime(2026, 3, 28, 23, tzinfo=UTC)
    assert days.end == datetime(2026, 3, 29, 21, 59, 59, 999_999, tzinfo=UTC)
    times = schedule_from({**said, "from": "2026-10-25T02:30", "until": "2026-10-25T02:30"})
    assert times.start == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert times.end == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    offset = schedule_from({**said, "until": "2026-03-29T09:00:00Z"})
    assert offset.end == datetime(2026, 3, 29, 9, tzinfo=UTC)
