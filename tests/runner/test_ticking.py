"""What becomes of the slots of one schedule: a table of policies, and a clock that is passed in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runner.ticking import MOST_FIRED, MOST_WAITING, Decision, Ticking, decide, schedule_key
from schemas.schedule import schedule_from
from store.slots import OpenSlot, Reason

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
DAY, HOUR, MINUTE, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def ticking(**said: Any) -> Ticking:
    return Ticking(7, schedule_from(said), NOON - DAY, NOON - DAY)


def decided(upto: datetime, now: datetime, held: tuple[OpenSlot, ...] = (), **said: Any) -> Decision:
    found = decide(ticking(**said), upto, now, held)
    assert found is not None
    return found


def clocks(instants: tuple[datetime, ...]) -> list[str]:
    return [at.strftime("%H:%M") for at in instants]


def open_slot(at: datetime, run: str | None = "r") -> OpenSlot:
    return OpenSlot(at, run, False)


def test_a_slot_fires_when_it_is_due_and_nothing_is_decided_before() -> None:
    assert decide(ticking(every="15m"), NOON, NOON + 14 * MINUTE) is None
    found = decided(NOON, NOON + 15 * MINUTE, every="15m")
    assert (clocks(found.fire), found.upto, found.passed) == (["12:15"], NOON + 15 * MINUTE, ())


@pytest.mark.parametrize(
    ("catch_up", "fire", "missed"),
    [
        (None, [], ["10:00", "11:00"]),
        ("none", [], ["10:00", "11:00"]),
        ("latest", ["11:00"], ["10:00"]),
        ("all", ["10:00", "11:00"], []),
        ("1h", ["11:00"], ["10:00"]),
        ({"window": "1h", "fire": "all"}, ["11:00"], ["10:00"]),
        ({"window": "10m"}, [], ["10:00", "11:00"]),
        ({"window": "10m", "fire": "latest"}, [], ["10:00", "11:00"]),
        ({"fire": "latest"}, ["11:00"], ["10:00"]),
    ],
)
def test_what_was_missed_fires_as_the_schedule_says_and_the_rest_is_recorded(
    catch_up: Any, fire: list[str], missed: list[str]
) -> None:
    said = {} if catch_up is None else {"catchUp": catch_up}
    found = decided(NOON - 3 * HOUR, NOON + 5 * MINUTE - HOUR + 30 * MINUTE, cron="0 * * * *", **said)
    assert clocks(found.fire) == fire
    assert clocks(tuple(one.at for one in found.passed)) == missed
    assert {one.reason for one in found.passed} <= {Reason.MISSED}
    assert found.upto == NOON - HOUR


@pytest.mark.parametrize("catch_up", ["none", "latest", "all"])
def test_a_slot_that_is_late_by_no_more_than_a_restart_always_fires(catch_up: str) -> None:
    found = decided(NOON - SECOND, NOON + 59 * SECOND, every="20s", catchUp=catch_up)
    assert [at.second for at in found.fire] == [0, 20, 40]


def test_the_latest_is_the_one_that_is_due_now_where_there_is_one() -> None:
    found = decided(NOON - 3 * HOUR, NOON + 30 * SECOND, cron="0 * * * *", catchUp="latest")
    assert clocks(found.fire) == ["12:00"]
    assert clocks(tuple(one.at for one in found.passed)) == ["10:00", "11:00"]


def test_a_schedule_of_every_second_that_was_down_for_days_makes_a_thousand_runs_and_one_row() -> None:
    found = decided(NOON - 3 * DAY, NOON, every="1s", catchUp={"window": "30d"})
    assert len(found.fire) == MOST_FIRED
    assert found.fire[-1] == NOON
    [rest] = found.passed
    assert rest.at == NOON - 3 * DAY + SECOND
    assert rest.last_at is not None
    assert found.fire[0] - SECOND <= rest.last_at < found.fire[0]
    assert rest.count is None
    found = decided(NOON - 10 * MINUTE, NOON, every="1s")
    [rest] = found.passed
    assert (len(found.fire), rest.count) == (61, 539)


def test_slots_are_neither_lost_nor_doubled_where_the_row_ends() -> None:
    for hours in (2, 20, 100, 1000):
        found = decided(NOON - hours * HOUR, NOON, cron="*/7 * * * *", catchUp="3h")
        passed = [1 if one.last_at is None else one.count for one in found.passed]
        if None not in passed:
            assert sum(filter(None, passed)) + len(found.fire) == len(range(0, 60, 7)) * hours
        assert hours == 1000 or None not in passed


def test_jitter_delays_each_slot_by_something_that_all_controllers_agree_on() -> None:
    one, other = ticking(every="1h", jitter="10m"), ticking(every="1h", jitter="10m")
    delays = [one.due(NOON + n * HOUR) - (NOON + n * HOUR) for n in range(200)]
    assert delays == [other.due(NOON + n * HOUR) - (NOON + n * HOUR) for n in range(200)]
    assert all(timedelta(0) <= delay < 10 * MINUTE for delay in delays)
    assert min(delays) < MINUTE < 9 * MINUTE < max(delays)
    due = one.due(NOON + HOUR)
    assert decide(one, NOON, due - SECOND) is None
    found = decide(one, NOON, due)
    assert found is not None
    assert found.fire == (NOON + HOUR,)


@pytest.mark.parametrize(
    ("policy", "held", "fire", "queue", "skipped", "replaced"),
    [
        ("skip", (), ["12:15"], [], [], []),
        ("skip", ("12:00",), [], [], ["12:15"], []),
        ("queue", (), ["12:15"], [], [], []),
        ("queue", ("12:00",), [], ["12:15"], [], []),
        ("queue", ("11:45", None), [], ["12:15"], [], []),
        ("cancel-oldest", (), ["12:15"], [], [], []),
        ("cancel-oldest", ("12:00",), [], ["12:15"], [], []),
        ("cancel-oldest", ("11:45", None), [], ["12:15"], [], ["12:00"]),
        ("allow", ("12:00",), ["12:15"], [], [], []),
    ],
)
def test_overlap(
    policy: str,
    held: tuple[str | None, ...],
    fire: list[str],
    queue: list[str],
    skipped: list[str],
    replaced: list[str],
) -> None:
    given = [open_slot(NOON)] if len(held) == 1 else []
    if len(held) == 2:
        given = [open_slot(NOON - 15 * MINUTE), open_slot(NOON, None)]
    found = decided(NOON, NOON + 15 * MINUTE, tuple(given), every="15m", overlap=policy)
    assert (clocks(found.fire), clocks(found.queue)) == (fire, queue)
    assert [one.at.strftime("%H:%M") for one in found.passed] == skipped
    assert clocks(found.replaced) == replaced


def test_several_slots_at_once_do_not_overlap_either() -> None:
    at = {"every": "15m", "catchUp": "all"}
    skip = decided(NOON - HOUR, NOON, overlap="skip", **at)
    assert (clocks(skip.fire), [one.reason for one in skip.passed]) == (["11:15"], [Reason.OVERLAP] * 3)
    queue = decided(NOON - HOUR, NOON, overlap="queue", **at)
    assert (clocks(queue.fire), clocks(queue.queue)) == (["11:15"], ["11:30", "11:45", "12:00"])
    latest = decided(NOON - HOUR, NOON, overlap="cancel-oldest", **at)
    assert (clocks(latest.fire), len(latest.passed)) == (["12:00"], 3)


def test_no_more_than_so_many_slots_wait() -> None:
    found = decided(NOON - DAY, NOON, (open_slot(NOON - DAY),), every="5m", overlap="queue", catchUp="1d")
    assert len(found.queue) == MOST_WAITING
    assert {one.reason for one in found.passed} == {Reason.OVERLAP}


def test_a_slot_that_the_clock_skips_is_recorded_where_it_is_not_moved() -> None:
    said = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst": {"gap": "skip"}}
    found = decided(datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 29, 1, 0, 5, tzinfo=UTC), **said)
    assert found.fire == ()
    assert [(one.at.hour, one.reason) for one in found.passed] == [(1, Reason.GAP)]


def test_a_schedule_fires_from_its_first_day_to_the_end_of_its_last_on_its_own_clock() -> None:
    said = {"cron": "0 0,12 * * *", "timezone": "Asia/Tokyo", "from": "2026-03-02", "until": "2026-03-03"}
    found = decided(NOON - 5 * DAY, NOON + 5 * DAY, catchUp="30d", **said)
    assert [at.strftime("%dT%H") for at in found.fire] == ["01T15", "02T03", "02T15", "03T03"]
    one = ticking(**said)
    assert one.next_due(found.upto) is None


def test_the_key_stays_the_same_wherever_it_is_written_and_whatever_else_the_schedule_says() -> None:
    def key(**said: Any) -> str:
        return schedule_key(schedule_from(said))

    assert key(cron="0 9 * * *") == key(cron="0 9 * * *", overlap="skip", catchUp="1h", jitter="5s")
    different = [{"cron": "0 9 * * *"}, {"cron": "0 9 * * *", "timezone": "Asia/Tokyo"}, {"every": "1d"}]
    different += [{"cron": "0 9 * * *", "input": 1}, {"cron": "0 9 * * *", "from": "2026-03-02"}]
    assert len({key(**said) for said in different}) == len(different)
