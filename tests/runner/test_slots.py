"""Every slot fires once or is recorded with its reason: with several controllers, and a clock that is set."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from eventually import eventually
from running import Running, sweeper, worker
from ticking import fired, movable, move, query, recorded, scheduled, scheduling

from runner import scheduler

LOOKS = 1.0  # seconds between two looks at the clock, not ten

HOURLY = {"cron": "0 * * * *"}
SLOW = [{"id": "a", "uses": "delay", "with": {"for": "1h"}}]


@pytest.fixture(autouse=True)
def _looking_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "LOOK", LOOKS)


def settled(running: Running) -> None:
    """Every ticker has come to what is due."""
    before = None
    while before != (before := (len(fired(running)), recorded(running))):
        time.sleep(0.7)


@pytest.mark.parametrize(
    ("catch_up", "wanted"),
    [("none", {"missed": 50}), ("latest", {"missed": 49, "fired": 1}), ("3h", {"missed": 47, "fired": 3})],
)
def test_after_a_downtime_three_controllers_catch_up_once(
    running: Running, catch_up: str, wanted: dict[str, int]
) -> None:
    minute = query(running, "SELECT extract(minute FROM clock_timestamp() + interval '30 min')::int")[0][0]
    scheduled(running, "hourly", {"cron": f"{minute} * * * *", "catchUp": catch_up}, live_for="50 hours")
    with scheduling(running, 3):
        eventually(lambda: recorded(running))
        settled(running)
    assert recorded(running) == wanted
    assert len(fired(running)) == len(set(fired(running))) == wanted.get("fired", 0)


def test_a_second_that_comes_for_days_after_a_downtime_makes_few_rows(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "catchUp": "30d"}, live_for="5 days")
    with scheduling(running, 2):
        eventually(lambda: len(fired(running)) > 1000)
        time.sleep(1.5)
    [(rows,)] = query(running, "SELECT count(*)::int FROM slots WHERE run_id IS NULL")
    assert rows == 1
    assert 1000 < len(fired(running)) == len(set(fired(running))) < 1030


def test_while_a_deployment_is_paused_its_schedules_have_no_slots(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "catchUp": "1h"})
    with scheduling(running):
        eventually(lambda: fired(running))
    scheduled(running, "beat", {"every": "1s", "catchUp": "1h"}, state="paused")
    with scheduling(running):
        time.sleep(2)
    query(running, "UPDATE tickers SET upto = upto - interval '10 minutes'")
    before = len(fired(running))
    scheduled(running, "beat", {"every": "1s", "catchUp": "1h"})
    with scheduling(running):
        eventually(lambda: len(fired(running)) > before)
    assert len(fired(running)) < before + 5
    assert recorded(running).keys() == {"fired"}


def test_a_revision_that_changes_nothing_about_a_schedule_loses_no_slot(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "catchUp": "1h"}, live_for="10 minutes")
    with scheduling(running):
        eventually(lambda: len(fired(running)) > 590)
    query(running, "DELETE FROM runs")
    query(running, "DELETE FROM slots")
    query(running, "UPDATE tickers SET upto = upto - interval '5 minutes'")
    running.deploy("beat", SLOW, on={"schedule": [{"every": "1s", "catchUp": "1h"}]})
    with scheduling(running):
        eventually(lambda: len(fired(running)) > 290)


def test_skip_fires_nothing_while_the_run_before_is_at_work(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "overlap": "skip"}, nodes=SLOW)
    with scheduling(running, 2), worker(running):
        eventually(lambda: recorded(running).get("overlap", 0) >= 2)
        assert len(fired(running)) == 1
        query(running, "UPDATE runs SET status = 'completed', ended_at = now(), wake_at = NULL")
        eventually(lambda: len(fired(running)) == 2)


def test_queued_slots_begin_in_their_order_one_after_the_other(running: Running) -> None:
    scheduled(
        running,
        "beat",
        {"every": "1s", "overlap": "queue"},
        nodes=[{"id": "a", "uses": "delay", "with": {"for": "1500ms"}}],
    )
    with scheduling(running, 2), worker(running), sweeper(running):
        eventually(lambda: len(fired(running)) >= 4, seconds=40)
    rows = query(
        running,
        """SELECT trigger->>'time', started_at, lag(ended_at) OVER (ORDER BY created_at),
                  lag(trigger->>'time') OVER (ORDER BY created_at) FROM runs
           WHERE started_at IS NOT NULL ORDER BY created_at""",
    )
    for slot, began, ended, before in rows[1:]:
        assert ended is not None
        assert began >= ended
        assert slot > before


def test_cancel_oldest_ends_the_run_before_and_only_the_latest_slot_waits(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "overlap": "cancel-oldest"}, nodes=SLOW)
    with scheduling(running, 2), worker(running), sweeper(running):
        eventually(lambda: len(fired(running)) >= 3, seconds=40)
        rows = query(running, "SELECT status, trigger->>'time' FROM runs ORDER BY created_at")
    assert [row[0] for row in rows[:2]] == ["cancelled", "cancelled"]
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


def test_what_waits_of_a_schedule_that_is_taken_away_never_begins(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "overlap": "queue"}, nodes=SLOW)
    with scheduling(running):
        eventually(lambda: recorded(running).get("waiting"))
        scheduled(running, "beat", HOURLY, nodes=SLOW)
        eventually(lambda: "waiting" not in recorded(running))
        assert recorded(running)["closed"] >= 1
        assert len(fired(running)) == 1


def test_a_slot_that_the_deployment_s_limit_refuses_says_so(running: Running) -> None:
    limit = {"concurrency": {"limit": 1, "whenFull": "reject"}}
    scheduled(running, "beat", {"every": "1s"}, nodes=SLOW, deployment=limit)
    with scheduling(running, 2):
        eventually(lambda: recorded(running).get("concurrency", 0) >= 2)
    assert len(fired(running)) == 1


def test_overlap_and_the_deployment_s_limit_hold_together(running: Running) -> None:
    limit = {"concurrency": {"limit": 1, "whenFull": "queue"}}
    nodes = [{"id": "a", "uses": "delay", "with": {"for": "700ms"}}]
    schedules = ({"every": "1s", "overlap": "queue"}, {"every": "1s", "overlap": "skip", "input": 1})
    scheduled(running, "beat", *schedules, nodes=nodes, deployment=limit)
    with scheduling(running, 2), worker(running), sweeper(running):
        eventually(lambda: len(fired(running)) >= 6, seconds=40)
    most = query(
        running,
        """SELECT count(*) FROM runs a JOIN runs b ON a.id < b.id AND a.started_at < b.ended_at
               AND b.started_at < a.ended_at""",
    )
    assert most == [(0,)]


def test_a_clock_that_is_set_forward_records_what_it_jumped_over(running: Running) -> None:
    movable(running)
    scheduled(running, "beat", {"every": "10s"})
    with scheduling(running, 2):
        eventually(lambda: query(running, "SELECT 1 FROM tickers"))
        move(running, timedelta(hours=2))
        eventually(lambda: recorded(running).get("missed"), seconds=30)
    assert 700 <= recorded(running)["missed"] <= 720
    assert recorded(running)["fired"] <= 9


def test_a_clock_that_is_set_back_repeats_no_slot_and_silences_no_schedule(running: Running) -> None:
    movable(running)
    scheduled(running, "beat", {"every": "1s", "catchUp": {"fire": "all", "window": "10m"}})
    with scheduling(running, 2):
        eventually(lambda: fired(running))
        move(running, timedelta(minutes=5))
        eventually(lambda: len(fired(running)) > 300, seconds=30)
        move(running, timedelta(minutes=-5))
        before = len(fired(running))
        time.sleep(4 * LOOKS)  # the slots of now have fired, by the clock that was wrong
        assert len(fired(running)) - before < 5
    assert len(fired(running)) == len(set(fired(running)))


def test_slots_that_a_wrong_clock_passed_over_fire_when_they_are_really_due(running: Running) -> None:
    movable(running)
    scheduled(running, "beat", {"every": "1s"})
    with scheduling(running, 2):
        eventually(lambda: fired(running))
        move(running, timedelta(days=1))
        eventually(lambda: recorded(running).get("missed", None) is None and _ranges(running), seconds=30)
        before = set(fired(running))
        move(running, timedelta(days=-1))
        eventually(lambda: len(set(fired(running)) - before) >= 3, seconds=30)
    assert len(fired(running)) == len(set(fired(running)))


def _ranges(running: Running) -> list[Any]:
    return query(running, "SELECT 1 FROM slots WHERE last_at IS NOT NULL")


def test_connections_that_break_lose_no_slot(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s"})
    with scheduling(running, 2):
        eventually(lambda: fired(running))
        for _ in range(3):
            query(
                running,
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE pid <> pg_backend_pid() AND datname = current_database()""",
            )
            time.sleep(1.3)
        count = len(fired(running))
        eventually(lambda: len(fired(running)) > count + 1)
    _unbroken(running)


def _unbroken(running: Running) -> None:
    """Each second between the first and the last has one slot."""
    seconds = query(
        running, "SELECT extract(epoch FROM at)::bigint FROM slots WHERE run_id IS NOT NULL ORDER BY at"
    )
    found = [row[0] for row in seconds]
    assert found == list(range(found[0], found[-1] + 1))
    assert len(fired(running)) == len(set(fired(running))) == len(found)


def test_jitter_delays_and_the_slot_stays_the_time_of_the_trigger(running: Running) -> None:
    scheduled(running, "beat", {"every": "1s", "jitter": "2s"})
    with scheduling(running, 2):
        eventually(lambda: len(fired(running)) >= 5)
    rows = query(
        running,
        """SELECT extract(epoch FROM (trigger->>'receivedAt')::timestamptz
                                     - (trigger->>'time')::timestamptz)::float8 FROM runs""",
    )
    assert all(0 <= delay < 4 for (delay,) in rows)
    assert max(delay for (delay,) in rows) > 0.3
    _unbroken(running)


def _sweeping(running: Running) -> Any:
    from running import sweeper

    return sweeper(running)
