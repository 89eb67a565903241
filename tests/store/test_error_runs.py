"""Runs that start because another one ended badly."""

import threading
from typing import Any

import pytest
from psycopg.types.json import Json
from store_rows import deploy

from store import admission, concurrency, journal, leases
from store.database import Connection, connect
from store.deployment_rows import settle_admission
from store.deployments import get_deployment
from store.error_chains import LONGEST_CHAIN, MOST_A_MINUTE, Ended, Listener, PassedOver, hears, refusal
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


def claimed(connection: Connection) -> Step:
    [one] = leases.claim(connection, "w", [begin(connection)])
    return Step(
        run_id=one.id, lease=one.lease, status=RunStatus.FAILED, attempt=1, span_attempt=1, error="{}"
    )


def flood(connection: Connection, runs: int) -> None:
    """So many ends in one batch, as a worker writes them."""
    journal.record(connection, [claimed(connection) for _ in range(runs)])


def end_from(url: str, steps: list[Step]) -> None:
    with connect(url) as connection:
        for at in range(0, len(steps), 7):
            journal.record(connection, steps[at : at + 7])


def count(connection: Connection, name: str) -> int:
    return [pattern for pattern, _ in started(connection)].count(name)


def passed(connection: Connection, name: str) -> Any:
    found = get_deployment(connection, "default", name)
    assert found is not None
    return found.passed_over or {}


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


def fail_all(connection: Connection, first: str) -> None:
    ready = list(end(connection, first).ring)
    while ready:
        ready += end(connection, ready.pop(0)).ring


def test_two_that_answer_each_other_come_to_an_end(connection: Connection) -> None:
    listen(connection, "a", "order-intake", "b")
    listen(connection, "b", "a")
    fail_all(connection, begin(connection))
    assert [pattern for pattern, _ in started(connection)] == ["a", "b"]
    assert [trigger["patterns"] for _, trigger in started(connection)] == [[], ["a"]]
    assert {reason: one["count"] for reason, one in passed(connection, "a").items()} == {"own-chain": 1}
    assert passed(connection, "b") == {}


def test_a_line_of_them_comes_to_an_end(connection: Connection) -> None:
    for number in range(1, 9):
        listen(connection, f"p{number}", f"p{number - 1}" if number > 1 else "order-intake")
    fail_all(connection, begin(connection))
    assert [trigger["chain"] for _, trigger in started(connection)] == list(range(1, LONGEST_CHAIN + 1))
    assert passed(connection, "p6")["too-long"]["pattern"] == "p5"


def test_all_that_hear_everything_and_fail_start_a_bounded_number(connection: Connection) -> None:
    for name in ("a", "b", "c"):
        listen(connection, name, "*")
    fail_all(connection, begin(connection))
    # Each of the three, then each of the others, then the one that is left.
    assert len(started(connection)) == 3 + 3 * 2 + 3 * 2 * 1
    assert (
        sum(passed(connection, name)["own-chain"]["count"] for name in ("a", "b", "c")) == 3 + 6 * 2 + 6 * 3
    )


def test_a_flood_starts_so_many_a_minute_and_the_rest_is_counted(connection: Connection) -> None:
    oncall = listen(connection, "oncall", "*")
    listen(connection, "other", "order-*")
    flood(connection, MOST_A_MINUTE + 30)
    assert count(connection, "oncall") == count(connection, "other") == MOST_A_MINUTE
    found = passed(connection, "oncall")["too-many"]
    assert (found["count"], found["pattern"]) == (30, "order-intake")
    assert found["firstAt"] <= found["lastAt"]
    flood(connection, 5)
    assert passed(connection, "oncall")["too-many"]["count"] == 35
    connection.execute(
        "UPDATE runs SET created_at = created_at - interval '61 seconds' WHERE trigger_kind = 'error'"
    )
    flood(connection, 3)
    assert count(connection, "oncall") == MOST_A_MINUTE + 3
    settle_admission(connection, [oncall])  # something else is live
    assert passed(connection, "oncall") == {}


def test_a_flood_from_many_workers_starts_no_more(connection: Connection, database_url: str) -> None:
    listen(connection, "oncall", "*")
    halves = [[claimed(connection) for _ in range(70)] for _ in range(4)]
    threads = [threading.Thread(target=end_from, args=[database_url, half]) for half in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(connection, "oncall") == MOST_A_MINUTE
    assert passed(connection, "oncall")["too-many"]["count"] == 4 * 70 - MOST_A_MINUTE


def test_an_answer_obeys_the_limit_and_the_circuit_of_its_deployment(connection: Connection) -> None:
    oncall = listen(connection, "oncall", "order-*", concurrency={"limit": 1})
    outcomes = [end(connection, begin(connection)) for _ in range(2)]
    ready = [concurrency.settle(connection, outcome.slots) for outcome in outcomes]
    assert [len(one) for one in ready] == [1, 0]
    connection.execute("UPDATE deployments SET circuit_open = true WHERE id = %s", [oncall])
    connection.execute(
        "INSERT INTO circuits (deployment_id, opened_at, try_at) VALUES (%s, now(), now() + interval '1 hour')",
        [oncall],
    )
    end(connection, begin(connection))
    assert len(started(connection)) == 2
    assert passed(connection, "oncall")["circuit-open"]["count"] == 1


def test_a_pattern_that_listens_no_more_hears_nothing(connection: Connection) -> None:
    oncall = listen(connection, "oncall", "*")
    connection.execute("UPDATE versions SET content = '{}' WHERE id = 'oncall-v'")
    settle_admission(connection, [oncall])
    end(connection, begin(connection))
    assert started(connection) == []


@pytest.mark.parametrize(
    ("chain", "listener", "pattern", "began", "before", "verdict"),
    [
        (0, "p", "p", "p", [], None),
        (1, "p", "p", "p", [], PassedOver.OWN_CHAIN),
        (1, "p", "q", "p", [], PassedOver.OWN_CHAIN),
        (1, "q", "p", "p", [], None),
        (2, "q", "p", "p", ["q"], PassedOver.OWN_CHAIN),
        (2, "q", "p", "p", ["r"], None),
        (LONGEST_CHAIN - 1, "q", "p", "p", ["r"], None),
        (LONGEST_CHAIN, "q", "p", "p", ["r"], PassedOver.TOO_LONG),
    ],
)
def test_the_rule(
    chain: int, listener: str, pattern: str, began: str, before: list[str], verdict: PassedOver | None
) -> None:
    cause: Any = {"kind": "error", "chain": chain, "patterns": before} if chain else {"kind": "webhook"}
    ended = Ended(
        id="r", deployment="d", pattern=pattern, version=1, attempt=1, input=None, error=None, cause=cause,
        began=began, now=0.0,
    )  # fmt: skip
    one = Listener(deployment_id=1, pattern=listener, globs=["*"], circuit_open=False)
    assert hears(one, ended)
    assert refusal(one, ended) is verdict
