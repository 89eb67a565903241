"""Schedules fire once per slot, however many schedulers look; real PostgreSQL, and a clock that is passed in."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from running import Running

from runner.scheduler import Scheduler


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


@pytest.mark.parametrize("payload", ["default late", "default *"])
def test_a_new_schedule_is_heard_of_at_once(running: Running, payload: str) -> None:
    with scheduling(running, 1):
        time.sleep(0.5)
        running.deploy("late", [{"id": "a", "uses": "set", "with": {}}], on={"schedule": [{"every": "1s"}]})
        with running.database.connection() as connection:
            connection.execute("SELECT pg_notify('weft_deployments', %s)", [payload])
        time.sleep(2.2)
    assert fired(running)
