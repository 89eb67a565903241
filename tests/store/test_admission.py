"""Limits of deployments: who may begin, who waits, who goes. On a real PostgreSQL."""

import threading
from typing import Any

import pytest
from psycopg import Rollback
from store_rows import deploy

from store import admission, concurrency, journal, leases, wakeups
from store.admission import Answer, Verdict
from store.concurrency import Slot
from store.database import Connection, Database
from store.ids import new_id
from store.journal import ChildRun, Step
from store.replays import Replay, replay
from store.runs import NewRun, RunStatus

KEY = "${{ trigger.body.customer }}"


def limited(connection: Connection, limit: int = 1, **keys: Any) -> int:
    return deploy(connection, "limited", version="l1", concurrency={"limit": limit, **keys})


def admit(connection: Connection, deployment: int, customer: str = "a") -> tuple[str, Verdict]:
    trigger = f'{{"body": {{"customer": "{customer}"}}}}'
    run = NewRun(id=new_id(), deployment_id=deployment, kind="webhook", trigger=trigger)
    return run.id, admission.admit(connection, [run])[run.id]


def status(connection: Connection, *runs: str) -> list[str]:
    rows = dict(
        connection.execute("SELECT id::text, status FROM runs WHERE id = ANY(%s::uuid[])", [list(runs)])
    )
    return [rows[run] for run in runs]


def end(connection: Connection, run: str, how: RunStatus = RunStatus.COMPLETED, **fields: Any) -> list[str]:
    """As a worker does it. Gives the runs that are rung for then."""
    [claimed] = leases.claim(connection, "w", [run])
    step = Step(
        run_id=run,
        lease=claimed.lease,
        status=how,
        attempt=1,
        span_attempt=1,
        parent_id=claimed.parent_id,
        **fields,
    )
    [outcome] = journal.record(connection, [step])
    assert outcome.kept
    return [*outcome.ring, *concurrency.settle(connection, outcome.slots)]


def test_a_transaction_that_was_rolled_back_refuses_nobody_after_it(database_url: str) -> None:
    database = Database(database_url, connections=1)
    with database.connection() as connection:
        deployment = deploy(connection, "free", version="f1")
    for _ in range(3):
        with database.transaction() as connection:
            assert admit(connection, deployment)[1].answer is Answer.PENDING
        with database.connection() as connection, connection.transaction():
            for _ in range(3):
                connection.execute("SELECT 1")
            raise Rollback
        with database.connection() as connection:
            connection.execute("SELECT 1")
    database.close()


def test_what_is_full_queues_and_begins_when_another_ends_first_come_first(connection: Connection) -> None:
    deployment = limited(connection, 2)
    runs, verdicts = zip(*(admit(connection, deployment) for _ in range(5)), strict=True)
    assert [one.answer for one in verdicts] == [Answer.PENDING] * 2 + [Answer.QUEUED] * 3
    assert leases.claim(connection, "w", [runs[2]]) == [], "what is queued is not ready"
    assert end(connection, runs[1]) == [runs[2]]
    assert status(connection, *runs[2:]) == ["pending", "queued", "queued"]
    assert end(connection, runs[0]) == [runs[3]]


def test_a_key_does_not_wait_for_another(connection: Connection) -> None:
    deployment = limited(connection, 1, key=KEY)
    a = [admit(connection, deployment, "a")[0] for _ in range(50)]
    b, verdict = admit(connection, deployment, "b")
    assert verdict.answer is Answer.PENDING
    assert end(connection, a[0]) == [a[1]]
    assert status(connection, b) == ["pending"]


def test_a_waiting_run_keeps_its_slot_through_attempts(connection: Connection) -> None:
    deployment = limited(connection)
    first, second = admit(connection, deployment)[0], admit(connection, deployment)[0]
    assert end(connection, first, RunStatus.WAITING, due=1.0) == []
    assert status(connection, second) == ["queued"]
    assert wakeups.wake_due(connection) == [first]
    assert end(connection, first) == [second]


def test_reject_refuses_and_writes_nothing(connection: Connection) -> None:
    deployment = limited(connection, whenFull="reject")
    first, _ = admit(connection, deployment)
    refused, verdict = admit(connection, deployment)
    assert verdict.answer is Answer.FULL
    assert connection.execute("SELECT id FROM runs WHERE id = %s", [refused]).fetchone() is None
    end(connection, first)
    assert admit(connection, deployment)[1].answer is Answer.PENDING


def test_cancel_oldest_makes_room_for_the_newest(connection: Connection) -> None:
    deployment = limited(connection, whenFull="cancel-oldest")
    first, _ = admit(connection, deployment)
    second, verdict = admit(connection, deployment)
    assert verdict.answer is Answer.QUEUED
    [held] = leases.claim(connection, "w", [first])
    assert held.cancelled
    third, _ = admit(connection, deployment)
    assert status(connection, first, second, third) == ["running", "cancelled", "queued"]
    step = Step(run_id=first, lease=held.lease, status=RunStatus.CANCELLED, attempt=1, span_attempt=1)
    [outcome] = journal.record(connection, [step])
    assert concurrency.settle(connection, outcome.slots) == [third]


def test_a_queued_run_that_is_cancelled_leaves_the_queue(connection: Connection) -> None:
    deployment = limited(connection)
    first, second, third = (admit(connection, deployment)[0] for _ in range(3))
    assert wakeups.cancel(connection, second) == []
    assert status(connection, second) == ["cancelled"]
    assert end(connection, first) == [third]


def test_a_replay_obeys_the_same_limit(connection: Connection) -> None:
    deployment = limited(connection, key=KEY)
    done, _ = admit(connection, deployment, "a")
    end(connection, done, RunStatus.FAILED)
    holder, _ = admit(connection, deployment, "a")
    again = replay(connection, Replay(id=new_id(), of=done))
    assert again is not None
    assert again.answer is Answer.QUEUED
    limited(connection, key=KEY, whenFull="reject")
    before = connection.execute("SELECT count(*) FROM runs").fetchone()
    refused = replay(connection, Replay(id=new_id(), of=done))
    assert refused == Verdict(Answer.FULL)
    assert connection.execute("SELECT count(*) FROM runs").fetchone() == before
    assert len(end(connection, holder)) == 1


def call(connection: Connection, *customers: str) -> tuple[str, list[str], tuple[Slot, ...]]:
    caller = deploy(connection, "caller", version="c1")
    parent, _ = admit(connection, caller)
    [claimed] = leases.claim(connection, "w", [parent])
    children = [
        ChildRun(
            id=new_id(),
            version_id="l1",
            pattern="limited",
            trigger=f'{{"body": {{"customer": "{customer}"}}}}',
            input="{}",
            parent_path="c",
        )
        for customer in customers
    ]
    step = Step(
        run_id=parent,
        lease=claimed.lease,
        status=RunStatus.WAITING,
        attempt=1,
        span_attempt=1,
        children=children,
    )
    [outcome] = journal.record(connection, [step])
    return parent, [child.id for child in children], outcome.slots


def test_a_called_run_obeys_the_limit_of_its_own_pattern_s_deployment(connection: Connection) -> None:
    deployment = limited(connection, key=KEY)
    holder, _ = admit(connection, deployment, "a")
    parent, [a, b], slots = call(connection, "a", "b")
    assert status(connection, a, b) == ["queued", "queued"]
    assert concurrency.settle(connection, slots) == [b]
    assert end(connection, holder) == [a]
    assert sorted(end(connection, a)) == [parent]


def test_a_called_run_that_is_rejected_fails_and_wakes_its_caller(connection: Connection) -> None:
    deployment = limited(connection, whenFull="reject")
    admit(connection, deployment)
    parent, [child], slots = call(connection, "a")
    assert concurrency.settle(connection, slots) == [parent]
    row = connection.execute("SELECT status, error ->> 'type' FROM runs WHERE id = %s", [child]).fetchone()
    assert row == ("failed", "concurrency_full")


def test_a_queued_called_run_that_is_cancelled_wakes_its_caller(connection: Connection) -> None:
    admit(connection, limited(connection))
    parent, [child], _ = call(connection, "a")
    assert wakeups.cancel(connection, child) == [parent]


def test_what_nobody_settled_is_found_also_when_the_limit_was_raised_or_taken_away(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "OVERDUE", 0.0)
    deployment = limited(connection)
    _, *queued = (admit(connection, deployment)[0] for _ in range(4))
    assert concurrency.overdue(connection) == []
    limited(connection, 2)
    assert concurrency.settle(connection, concurrency.overdue(connection)) == queued[:1]
    deploy(connection, "limited", version="l1")
    assert concurrency.settle(connection, concurrency.overdue(connection)) == sorted(queued[1:])


def test_runs_whose_key_cannot_be_told_share_one(connection: Connection) -> None:
    deployment = limited(connection, key="${{ trigger.headers.missing }}")
    assert [admit(connection, deployment)[1].answer for _ in range(2)] == [Answer.PENDING, Answer.QUEUED]


def test_many_at_once_never_exceed_the_limit_and_none_is_forgotten(
    connection: Connection, database: Database
) -> None:
    deployment, limit = limited(connection, 3), 3
    most: list[int] = []
    runs: list[str] = []

    def accept() -> None:
        own = database.connect()
        runs.extend(admit(own, deployment)[0] for _ in range(10))
        own.close()

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ready = [run for run in runs if status(connection, run) == ["pending"]]
    assert len(ready) == limit
    while ready:
        row = connection.execute(
            "SELECT count(*) FROM runs WHERE queued_at IS NULL AND ended_at IS NULL"
        ).fetchone()
        assert row is not None
        most.append(row[0])
        ready += end(connection, ready.pop(0))
    assert max(most) == limit
    assert set(status(connection, *runs)) == {"completed"}


def test_claiming_a_limited_run_touches_no_index(connection: Connection) -> None:
    deployment = limited(connection, 1000)
    runs = [admit(connection, deployment)[0] for _ in range(20)]
    leases.claim(connection, "w", runs)
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("SELECT 1")
    row = connection.execute(
        "SELECT n_tup_upd - n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'runs'"
    ).fetchone()
    assert row is not None
    placed = 20  # placing itself writes the key, once per run
    assert row[0] <= placed
