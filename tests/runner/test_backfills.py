"""Backfills go on in their order, a few at a time, whatever happens to controllers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from eventually import eventually
from running import Running, sweeper, worker
from ticking import query, scheduled, scheduling

from runner.ticking import schedule_key
from schemas.schedule import Schedule
from store import backfills
from store.backfills import BackfillState, NewBackfill
from store.ids import new_id

FIRST = datetime(2026, 1, 1, 9, tzinfo=UTC)
DAILY = {"cron": "0 9 * * *"}
KEY = schedule_key(Schedule(cron="0 9 * * *"))
SLOW = [{"id": "a", "uses": "delay", "with": {"for": "300ms"}}]


def fill(running: Running, days: int, *, most: int = 1) -> str:
    slots = [FIRST + timedelta(days=day) for day in range(days)]
    with running.database.connection() as connection:
        [(deployment,)] = connection.execute("SELECT id FROM deployments").fetchall()
        new = NewBackfill(
            id=new_id(),
            deployment_id=deployment,
            schedule=KEY,
            said="0 9 * * *",
            timezone="UTC",
            input={"region": "eu"},
            from_at=slots[0],
            until_at=slots[-1],
            max_parallel=most,
            reverse=False,
            actor="ada",
        )
        backfills.create(connection, new, slots)
    return new.id


def state(running: Running, backfill: str) -> tuple[Any, ...]:
    return query(running, "SELECT state, reason FROM backfills WHERE id = %s", [backfill])[0]


def begun(running: Running) -> list[tuple[Any, ...]]:
    """(slot, backfill, input, when a worker began, when it ended) of each run."""
    return query(
        running,
        """SELECT trigger->>'time', trigger->>'backfill', input, started_at, ended_at FROM runs
           ORDER BY created_at, id""",
    )


def test_slots_run_in_their_order_one_at_a_time_by_whichever_controller(running: Running) -> None:
    scheduled(running, "report", DAILY, nodes=SLOW)
    with scheduling(running, 3), worker(running), sweeper(running):
        backfill = fill(running, 5)
        eventually(lambda: state(running, backfill)[0] == "completed")
    rows = begun(running)
    assert [row[0][:10] for row in rows] == [f"2026-01-0{day}" for day in range(1, 6)]
    assert {(row[1], row[2]["region"]) for row in rows} == {(backfill, "eu")}
    for one, following in pairwise(rows):
        assert one[4] <= following[3]


def test_a_few_are_at_work_at_once_and_never_more(running: Running) -> None:
    scheduled(running, "report", DAILY, nodes=SLOW)
    with scheduling(running, 2), worker(running), sweeper(running):
        backfill = fill(running, 9, most=3)
        eventually(lambda: state(running, backfill)[0] == "completed")
    rows = begun(running)
    assert len(rows) == 9
    for row in rows:
        at_work = [other for other in rows if other[3] <= row[3] < other[4]]
        assert 1 <= len(at_work) <= 3


def test_it_goes_on_where_another_controller_left_it(running: Running) -> None:
    scheduled(running, "report", DAILY, nodes=SLOW)
    with worker(running), sweeper(running):
        with scheduling(running):
            backfill = fill(running, 6)
            eventually(lambda: len(begun(running)) >= 2)
        before = len(begun(running))
        assert before < 6
        with scheduling(running):
            eventually(lambda: state(running, backfill)[0] == "completed")
    assert [row[0][:10] for row in begun(running)] == [f"2026-01-0{day}" for day in range(1, 7)]


def test_it_waits_while_its_deployment_is_paused_and_ends_with_it(running: Running) -> None:
    scheduled(running, "report", DAILY, nodes=SLOW)
    query(running, "UPDATE deployments SET state = 'paused'")
    with scheduling(running), worker(running), sweeper(running):
        backfill = fill(running, 2)
        eventually(lambda: state(running, backfill) == ("running", "paused"))
        query(running, "UPDATE deployments SET state = 'active'")
        eventually(lambda: state(running, backfill) == ("completed", None))
        other = fill(running, 400)
        eventually(lambda: len(begun(running)) >= 3)
        query(running, "UPDATE deployments SET state = 'archived'")
        eventually(lambda: state(running, other)[0] == "cancelled")
    assert state(running, other)[1] == "its deployment is archived"


def test_what_the_deployment_s_limit_refuses_is_tried_again_in_order(running: Running) -> None:
    limit = {"concurrency": {"limit": 1, "whenFull": "reject"}}
    scheduled(running, "report", DAILY, nodes=SLOW, deployment=limit)
    with scheduling(running), worker(running), sweeper(running):
        backfill = fill(running, 4, most=3)
        eventually(lambda: state(running, backfill)[1] == "concurrency")
        eventually(lambda: state(running, backfill)[0] == "completed")
    assert [row[0][:10] for row in begun(running)] == [f"2026-01-0{day}" for day in range(1, 5)]


def test_a_cancelled_one_begins_no_more(running: Running) -> None:
    scheduled(running, "report", DAILY, nodes=SLOW)
    with scheduling(running), worker(running), sweeper(running):
        backfill = fill(running, 50)
        eventually(lambda: begun(running))
        with running.database.connection() as connection:
            assert backfills.end(connection, backfill, BackfillState.CANCELLED, "cancelled by ada")
            assert not backfills.end(connection, backfill, BackfillState.CANCELLED)
        count = len(begun(running))
        eventually(lambda: all(row[4] for row in begun(running)))
    assert len(begun(running)) <= count + 1


def test_slots_that_ran_are_known_by_their_slots_their_runs_and_other_backfills(running: Running) -> None:
    scheduled(running, "report", DAILY)
    [(deployment,)] = query(running, "SELECT id FROM deployments")
    slots = [FIRST + timedelta(days=day) for day in range(6)]
    query(running, "INSERT INTO slots VALUES (%s, %s, %s, gen_random_uuid())", [deployment, KEY, slots[0]])
    query(
        running, "INSERT INTO slots (deployment_id, schedule, at, refused) VALUES (%s, %s, %s, 'missed')",
        [deployment, KEY, slots[1]],
    )  # fmt: skip
    for slot, said in ((slots[2], '"0 9 * * *"'), (slots[3], '"5 9 * * *"'), (slots[4], None)):
        schedule = "" if said is None else f', "schedule": {said}'
        trigger = f'{{"kind": "schedule", "time": "{slot.isoformat()}"{schedule}}}'
        query(
            running,
            """INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger,
                                 due_at, created_at)
               VALUES (%s, %s, 1, 'v', 'report', 'completed', 'schedule', %s, now(), now())""",
            [new_id(), deployment, trigger],
        )
    with running.database.connection() as connection:
        found = backfills.ran(connection, deployment, KEY, "0 9 * * *", (slots[0], slots[-1]))
        assert found == {slots[0], slots[2], slots[4]}
    fill(running, 2)
    with running.database.connection() as connection:
        found = backfills.ran(connection, deployment, KEY, "0 9 * * *", (slots[0], slots[-1]))
        assert found == {slots[0], slots[1], slots[2], slots[4]}
