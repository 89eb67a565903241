"""Schedules fire once per slot, however many schedulers look; real PostgreSQL, and a clock that is passed in."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from running import Running

from runner.scheduler import Scheduler, Ticking, due
from schemas.pattern import Schedule

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def tick(schedule: Schedule, since: datetime = NOON - timedelta(days=1)) -> Ticking:
    return Ticking(1, schedule, since)


@pytest.mark.parametrize(
    ("schedule", "slots"),
    [
        (Schedule(cron="*/15 * * * *"), ["12:15", "12:30", "12:45", "13:00"]),
        (Schedule(cron="30 13 * * *", timezone="Europe/Berlin"), ["12:30"]),
        (Schedule(every=1200.0), ["12:20", "12:40", "13:00"]),
        (Schedule(cron="0 9 * * *"), []),
    ],
)
def test_the_slots_of_an_hour(schedule: Schedule, slots: list[str]) -> None:
    found = due(tick(schedule), NOON, NOON + timedelta(hours=1))
    assert [slot.astimezone(UTC).strftime("%H:%M") for slot in found] == slots


def test_nothing_is_due_before_the_schedule_went_live() -> None:
    late = tick(Schedule(every=60.0), since=NOON + timedelta(minutes=5))
    found = list(due(late, NOON, NOON + timedelta(minutes=7)))
    assert [slot - NOON for slot in found] == [timedelta(minutes=6), timedelta(minutes=7)]


@contextmanager
def scheduling(running: Running, count: int) -> Iterator[None]:
    stop = threading.Event()
    made = [Scheduler(running.database, running.redis_url) for _ in range(count)]
    threads = [threading.Thread(target=scheduler.run, args=[stop]) for scheduler in made]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for scheduler, thread in zip(made, threads, strict=True):
        scheduler.wake()
        thread.join(timeout=10)
        assert not thread.is_alive()


def fired(running: Running) -> list[tuple[str, str]]:
    with running.database.connection() as connection:
        rows = connection.execute(
            "SELECT pattern, trigger->>'time' FROM runs WHERE trigger_kind = 'schedule' ORDER BY 1, 2"
        )
        return [(row[0], row[1]) for row in rows]


def test_three_schedulers_fire_each_slot_once_and_paused_deployments_never(running: Running) -> None:
    every = {"schedule": [{"every": "1s", "input": {"region": "eu"}}]}
    running.deploy("beat", [{"id": "a", "uses": "set", "with": {}}], on=every)
    running.deploy("asleep", [{"id": "a", "uses": "set", "with": {}}], on=every, state="paused")
    with scheduling(running, 3):
        time.sleep(3.2)
    slots = fired(running)
    assert 2 <= len(slots) <= 4
    assert len(set(slots)) == len(slots)
    assert {pattern for pattern, _ in slots} == {"beat"}
    with running.database.connection() as connection:
        [row] = connection.execute("SELECT DISTINCT input::text FROM runs").fetchall()
    assert row[0] == '{"region":"eu"}'


def test_a_deployment_s_own_schedules_replace_its_pattern_s(running: Running) -> None:
    nodes = [{"id": "a", "uses": "set", "with": {}}]
    running.deploy("never", nodes, on={"schedule": [{"every": "1s"}]}, deployment={"schedules": []})
    with scheduling(running, 1):
        time.sleep(1.5)
    assert fired(running) == []


def test_a_new_schedule_is_heard_of_at_once(running: Running) -> None:
    with scheduling(running, 1):
        time.sleep(0.5)
        running.deploy("late", [{"id": "a", "uses": "set", "with": {}}], on={"schedule": [{"every": "1s"}]})
        with running.database.connection() as connection:
            connection.execute("SELECT pg_notify('weft_deployments', 'default')")
        time.sleep(2.2)
    assert fired(running)
