"""Runs that start because another one ended badly."""

from typing import Any

import pytest
from psycopg.types.json import Json
from store_rows import deploy

from store import admission, journal, leases
from store.database import Connection
from store.deployment_rows import settle_admission
from store.error_runs import LONGEST_CHAIN, Ended, Listener, hears
from store.ids import new_id
from store.journal import Step
from store.runs import NewRun, RunStatus


def listen(connection: Connection, name: str, *globs: str, **spec: Any) -> int:
    content = {"pattern": name, "spec": {"on": {"error": {"from": list(globs)}}}, "assets": {}, "calls": {}}
    connection.execute(
        "INSERT INTO versions (id, pattern, content) VALUES (%s, %s, %s)", [f"{name}-v", name, Json(content)]
    )
    return deploy(connection, name, version=f"{name}-v", **spec)


def end(connection: Connection, run: str, status: RunStatus = RunStatus.FAILED) -> journal.Outcome:
    [claimed] = leases.claim(connection, "w", [run])
    error = '{"type": "http_status", "message": "502"}'
    step = Step(run_id=run, lease=claimed.lease, status=status, attempt=1, span_attempt=1, error=error)
    [outcome] = journal.record(connection, [step])
    return outcome


def begin(connection: Connection, deployment: int = 1) -> str:
    run = NewRun(
        id=new_id(), deployment_id=deployment, kind="webhook", trigger='{"kind": "webhook"}', input="7"
    )
    assert admission.admit(connection, [run])[run.id].accepted
    return run.id


def started(connection: Connection) -> list[tuple[str, Any]]:
    rows = connection.execute("SELECT pattern, trigger FROM runs WHERE trigger_kind = 'error' ORDER BY id")
    return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize(
    ("status", "heard"),
    [
        (RunStatus.FAILED, True), (RunStatus.TIMEOUT, True), (RunStatus.DEAD_LETTER, True),
        (RunStatus.COMPLETED, False), (RunStatus.CANCELLED, False),
    ],
)  # fmt: skip
def test_bad_ends_are_heard_and_told_whole(connection: Connection, status: RunStatus, heard: bool) -> None:
    listen(connection, "oncall", "order-*")
    listen(connection, "others", "mail-*")
    run = begin(connection)
    outcome = end(connection, run, status)
    if not heard:
        assert started(connection) == []
        return
    [(pattern, trigger)] = started(connection)
    assert (pattern, trigger["kind"], trigger["error"]["message"]) == ("oncall", "error", "502")
    assert trigger["run"] == {
        "id": run, "deployment": "order-intake", "pattern": "order-intake", "version": None, "attempt": 1,
        "input": 7,
    }  # fmt: skip
    assert len(outcome.ring) == 1
    assert leases.claim(connection, "w", outcome.ring)


def test_what_is_not_active_or_elsewhere_hears_nothing(connection: Connection) -> None:
    listen(connection, "paused", "*", state="paused")
    elsewhere, others = listen(connection, "elsewhere", "*"), listen(connection, "others", "*")
    connection.execute("UPDATE deployments SET environment = 'staging' WHERE id = %s", [elsewhere])
    connection.execute("UPDATE deployments SET organisation = 'other' WHERE id = %s", [others])
    end(connection, begin(connection))
    assert started(connection) == []


def test_no_pattern_answers_its_own_answers(connection: Connection) -> None:
    oncall = listen(connection, "oncall", "*")
    [first] = end(connection, begin(connection, oncall)).ring
    assert end(connection, first).ring == ()


def test_two_that_answer_each_other_come_to_an_end(connection: Connection) -> None:
    listen(connection, "a", "order-intake", "b")
    listen(connection, "b", "a")
    ready = list(end(connection, begin(connection)).ring)
    while ready:
        ready += end(connection, ready.pop()).ring
    assert [pattern for pattern, _ in started(connection)] == ["a", "b", "a", "b", "a"]
    assert [trigger["chain"] for _, trigger in started(connection)] == list(range(1, LONGEST_CHAIN + 1))


def test_an_answer_obeys_the_limit_and_the_circuit_of_its_deployment(connection: Connection) -> None:
    oncall = listen(connection, "oncall", "order-*", concurrency={"limit": 1})
    outcomes = [end(connection, begin(connection)) for _ in range(2)]
    ready = [admission.settle(connection, outcome.slots) for outcome in outcomes]
    assert [len(one) for one in ready] == [1, 0]
    connection.execute("UPDATE deployments SET circuit_open = true WHERE id = %s", [oncall])
    connection.execute(
        "INSERT INTO circuits (deployment_id, opened_at, try_at) VALUES (%s, now(), now() + interval '1 hour')",
        [oncall],
    )
    end(connection, begin(connection))
    assert len(started(connection)) == 2


def test_a_pattern_that_listens_no_more_hears_nothing(connection: Connection) -> None:
    oncall = listen(connection, "oncall", "*")
    connection.execute("UPDATE versions SET content = '{}' WHERE id = 'oncall-v'")
    settle_admission(connection, [oncall])
    end(connection, begin(connection))
    assert started(connection) == []


@pytest.mark.parametrize(
    ("chain", "listener", "pattern", "began", "heard"),
    [
        (0, "p", "p", "p", True), (1, "p", "p", "p", False), (1, "p", "q", "p", False), (1, "q", "p", "p", True),
        (LONGEST_CHAIN - 1, "q", "p", "p", True), (LONGEST_CHAIN, "q", "p", "p", False),
    ],
)  # fmt: skip
def test_the_rule(chain: int, listener: str, pattern: str, began: str, heard: bool) -> None:
    cause = {"kind": "error", "chain": chain} if chain else {"kind": "webhook"}
    ended = Ended(
        id="r", deployment="d", pattern=pattern, version=1, attempt=1, input=None, error=None, cause=cause,
        began=began, now=0.0,
    )  # fmt: skip
    one = Listener(deployment_id=1, pattern=listener, globs=["*"], circuit_open=False)
    assert hears(one, ended) is heard
