"""Circuit breakers: the rule as a table, and the rows."""

from datetime import UTC, datetime, timedelta

import pytest
from store_rows import deploy

from schemas.deployment import CircuitBreaker
from schemas.times import timestamp
from store import admission, circuits, journal, leases, wakeups
from store.admission import Answer, Verdict
from store.circuits import Circuit, after_failure
from store.database import Connection
from store.ids import new_id
from store.journal import Step
from store.runs import NewRun, RunStatus

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BREAKER = CircuitBreaker(failures=3, within=60.0, cooldown=10.0)


CLOSED = Circuit()


def failed(*seconds: float, circuit: Circuit = CLOSED) -> Circuit:
    for second in seconds:
        at = NOW + timedelta(seconds=second)
        failure = {"at": timestamp(at.timestamp()), "run": f"r{second:g}", "type": "t", "message": "m"}
        circuit = after_failure(circuit, BREAKER, failure, at)
    return circuit


@pytest.mark.parametrize(
    ("seconds", "opened"),
    [((0, 1), None), ((0, 1, 2), 2), ((0, 30, 61), None), ((0, 30, 59.9), 59.9), ((0, 50, 70, 80), 80)],
)
def test_a_circuit_opens_when_so_many_ended_badly_within_the_window(
    seconds: tuple[float, ...], opened: float | None
) -> None:
    at = None if opened is None else NOW + timedelta(seconds=opened)
    assert failed(*seconds).opened_at == at


def test_late_failures_of_runs_before_do_not_prolong_it_but_the_probe_s_does() -> None:
    circuit = failed(0, 1, 2)
    assert circuit.try_at == NOW + timedelta(seconds=12)
    assert failed(5, circuit=circuit).try_at == circuit.try_at
    probing = Circuit(
        failures=circuit.failures, opened_at=circuit.opened_at, try_at=circuit.try_at, probe="r20"
    )
    again = failed(20, circuit=probing)
    assert (again.probe, again.try_at, again.opened_at) == (
        None,
        NOW + timedelta(seconds=30),
        circuit.opened_at,
    )


def guarded(connection: Connection, **keys: object) -> int:
    spec = {"failures": 2, "within": "10m", "cooldown": "1h", **keys}
    return deploy(connection, "guarded", version="g1", circuitBreaker=spec)


def admit(connection: Connection, deployment: int) -> tuple[str, Verdict]:
    run = NewRun(id=new_id(), deployment_id=deployment, kind="webhook", trigger="{}")
    return run.id, admission.admit(connection, [run])[run.id]


def end(connection: Connection, run: str, status: RunStatus) -> None:
    [claimed] = leases.claim(connection, "w", [run])
    error = '{"type": "http_status", "message": "502"}'
    step = Step(run_id=run, lease=claimed.lease, status=status, attempt=1, span_attempt=1, error=error)
    assert journal.record(connection, [step])[0].kept


def run_to(connection: Connection, deployment: int, *statuses: RunStatus) -> None:
    for status in statuses:
        run, verdict = admit(connection, deployment)
        assert verdict.answer is Answer.PENDING
        end(connection, run, status)


def is_open(connection: Connection) -> bool:
    row = connection.execute("SELECT circuit_open FROM deployments WHERE name = 'guarded'").fetchone()
    assert row is not None
    return bool(row[0])


def test_bad_ends_open_it_and_nothing_begins(connection: Connection) -> None:
    deployment = guarded(connection)
    run_to(connection, deployment, RunStatus.FAILED, RunStatus.COMPLETED, RunStatus.CANCELLED)
    assert not is_open(connection)
    run_to(connection, deployment, RunStatus.TIMEOUT)
    assert is_open(connection)
    refused, verdict = admit(connection, deployment)
    assert verdict.answer is Answer.CIRCUIT_OPEN
    assert 3590 < (verdict.retry_after or 0) <= 3600
    assert connection.execute("SELECT 1 FROM runs WHERE id = %s", [refused]).fetchone() is None
    assert admit(connection, 1)[1].answer is Answer.PENDING, "others are not concerned"


def test_one_probe_is_let_in_after_the_cooldown_and_its_success_closes_it(connection: Connection) -> None:
    deployment = guarded(connection, cooldown="1ms")
    run_to(connection, deployment, RunStatus.FAILED, RunStatus.DEAD_LETTER)
    probe, verdict = admit(connection, deployment)
    assert verdict.answer is Answer.PENDING
    assert admit(connection, deployment)[1].answer is Answer.CIRCUIT_OPEN
    end(connection, probe, RunStatus.COMPLETED)
    circuits.settle_probes(connection)
    assert not is_open(connection)
    run_to(connection, deployment, RunStatus.FAILED)
    assert not is_open(connection), "it begins anew"


def test_a_probe_that_fails_keeps_it_open(connection: Connection) -> None:
    deployment = guarded(connection, cooldown="1ms")
    run_to(connection, deployment, RunStatus.FAILED, RunStatus.FAILED)
    probe, _ = admit(connection, deployment)
    guarded_until = connection.execute("SELECT try_at FROM circuits").fetchone()
    end(connection, probe, RunStatus.FAILED)
    assert is_open(connection)
    row = connection.execute("SELECT try_at, probe FROM circuits").fetchone()
    assert row is not None
    assert guarded_until is not None
    assert (row[0] > guarded_until[0], row[1]) == (True, None)


def test_a_probe_that_was_cancelled_lets_another_in(connection: Connection) -> None:
    deployment = guarded(connection, cooldown="1ms")
    run_to(connection, deployment, RunStatus.FAILED, RunStatus.FAILED)
    probe, _ = admit(connection, deployment)
    wakeups.cancel(connection, probe)
    end(connection, probe, RunStatus.CANCELLED)
    assert admit(connection, deployment)[1].answer is Answer.PENDING


def test_something_new_that_is_live_closes_it_and_so_does_somebody(connection: Connection) -> None:
    deployment = guarded(connection)
    run_to(connection, deployment, RunStatus.FAILED, RunStatus.FAILED)
    guarded(connection)
    assert not is_open(connection)
    run_to(connection, deployment, RunStatus.FAILED, RunStatus.FAILED)
    assert circuits.close_named(connection, "default", "guarded")
    assert not circuits.close_named(connection, "default", "guarded")
    assert admit(connection, deployment)[1].answer is Answer.PENDING


def test_runs_of_the_revision_before_say_nothing_of_the_new_one(connection: Connection) -> None:
    deployment = guarded(connection)
    old = [admit(connection, deployment)[0] for _ in range(2)]
    guarded(connection)
    for run in old:
        end(connection, run, RunStatus.FAILED)
    assert not is_open(connection)


def test_a_limited_deployment_with_an_open_circuit_keeps_no_slot_of_what_it_refuses(
    connection: Connection,
) -> None:
    spec = {"failures": 1, "within": "10m", "cooldown": "1h"}
    deployment = deploy(connection, "guarded", version="g1", circuitBreaker=spec, concurrency={"limit": 1})
    run_to(connection, deployment, RunStatus.FAILED)
    assert admit(connection, deployment)[1].answer is Answer.CIRCUIT_OPEN
    assert connection.execute("SELECT count(*) FROM runs WHERE ended_at IS NULL").fetchone() == (0,)
