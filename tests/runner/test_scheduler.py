"""Schedules fire once per slot, however many schedulers look; real PostgreSQL, and a clock that is passed in."""

import time

import pytest
from running import Running
from ticking import fired, scheduling


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
