"""Circuit breakers: a deployment whose runs keep ending badly takes none for a while.

State of the database, never a commit. Who changes a circuit holds its row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from psycopg.types.json import Json

from schemas.deployment import CircuitBreaker, breaker_from
from schemas.pattern import JSON
from schemas.times import timestamp
from store.database import DEPLOYMENTS_CHANGED, Connection
from store.notifications import Changed

SHOWN = 5
"""Errors that are kept with an open circuit, for whoever looks."""

PROBING = 5.0
"""Seconds after which whoever is refused while a probe is at work may ask again."""


@dataclass(frozen=True, kw_only=True)
class Circuit:
    """`failures` are the last ones, the oldest first: `{at, run, type, message}`, `at` RFC 3339."""

    failures: tuple[Mapping[str, JSON], ...] = ()
    opened_at: datetime | None = None
    try_at: datetime | None = None
    probe: str | None = None


def after_failure(
    circuit: Circuit, breaker: CircuitBreaker, failure: Mapping[str, JSON], now: datetime
) -> Circuit:
    """What a run that ended badly makes of a circuit. Pure."""
    since = now - timedelta(seconds=breaker.within)
    recent = [one for one in circuit.failures if datetime.fromisoformat(one["at"]) > since]
    failures = (*recent, failure)[-max(breaker.failures, SHOWN) :]
    circuit = replace(circuit, failures=failures)
    if circuit.opened_at is not None:
        return _reopened(circuit, breaker, now) if failure["run"] == circuit.probe else circuit
    if len(failures) < breaker.failures:
        return circuit
    return replace(circuit, opened_at=now, try_at=now + timedelta(seconds=breaker.cooldown))


def _reopened(circuit: Circuit, breaker: CircuitBreaker, now: datetime) -> Circuit:
    return replace(circuit, try_at=now + timedelta(seconds=breaker.cooldown), probe=None)


def count(connection: Connection, runs: Sequence[str]) -> None:
    """Note runs that have just ended badly, within the transaction that ended them; circuits may open.

    What another run called counts with its caller. What began before the live revision says nothing of it.
    """
    rows = connection.execute(
        """SELECT d.id, d.breaker, r.id::text, r.error FROM runs r
           JOIN deployments d ON d.id = r.deployment_id AND d.breaker IS NOT NULL
           WHERE r.id = ANY(%s::uuid[]) AND r.parent_id IS NULL AND r.revision = d.revision ORDER BY d.id, r.id""",
        [list(runs)],
    ).fetchall()
    for id_, breaker, run, error in rows:
        circuit, now = _held(connection, id_)
        said = error or {}
        failure = {
            "at": timestamp(now.timestamp()),
            "run": run,
            "type": said.get("type", "unknown"),
            "message": str(said.get("message", ""))[:500],
        }
        _write(connection, id_, circuit, after_failure(circuit, breaker_from(breaker), failure, now))


def let_in(connection: Connection, deployment_id: int, run: str) -> float | None:
    """None: the run may begin, as the probe of a circuit that was open long enough, or because it is closed by now.
    Else the seconds until it is worth asking again.
    """
    circuit, now = _held(connection, deployment_id)
    circuit = _settled(connection, deployment_id, circuit)
    if circuit.opened_at is None or circuit.try_at is None:
        return None
    if circuit.probe is not None:
        return PROBING
    if now < circuit.try_at:
        return (circuit.try_at - now).total_seconds()
    _write(connection, deployment_id, circuit, replace(circuit, probe=run))
    return None


def settle_probes(connection: Connection) -> None:
    """Close the circuits whose probe has completed. One that was cancelled says nothing: the next run is let in."""
    rows = connection.execute(
        """SELECT c.deployment_id FROM circuits c LEFT JOIN runs r ON r.id = c.probe
           WHERE c.probe IS NOT NULL AND (r.id IS NULL OR r.ended_at IS NOT NULL) ORDER BY c.deployment_id"""
    ).fetchall()
    for (id_,) in rows:
        with connection.transaction():
            _settled(connection, id_, _held(connection, id_)[0])


def close(connection: Connection, deployment_id: int) -> bool:
    """Somebody looked after it: begin anew. False: it was not open."""
    with connection.transaction():
        circuit, _ = _held(connection, deployment_id)
        _write(connection, deployment_id, circuit, Circuit())
        return circuit.opened_at is not None


def close_named(connection: Connection, organisation: str, name: str) -> bool:
    """The same by name, of a deployment that is active."""
    row = connection.execute(
        "SELECT id FROM deployments WHERE organisation = %s AND name = %s AND state = 'active' AND circuit_open",
        [organisation, name],
    ).fetchone()
    return row is not None and close(connection, row[0])


def _settled(connection: Connection, deployment_id: int, circuit: Circuit) -> Circuit:
    if circuit.probe is None:
        return circuit
    row = connection.execute("SELECT status, ended_at FROM runs WHERE id = %s", [circuit.probe]).fetchone()
    if row is not None and row[1] is None:
        return circuit
    completed = row is not None and row[0] == "completed"
    settled = Circuit() if completed else replace(circuit, probe=None)
    _write(connection, deployment_id, circuit, settled)
    return settled


def _held(connection: Connection, deployment_id: int) -> tuple[Circuit, datetime]:
    """The circuit, locked until the end of the transaction, and the time."""
    connection.execute(
        "INSERT INTO circuits (deployment_id) VALUES (%s) ON CONFLICT DO NOTHING", [deployment_id]
    )
    row = connection.execute(
        """SELECT failures, opened_at, try_at, probe::text, clock_timestamp() FROM circuits
           WHERE deployment_id = %s FOR UPDATE""",
        [deployment_id],
    ).fetchone()
    assert row is not None, "it was just made"
    circuit = Circuit(failures=tuple(row[0]), opened_at=row[1], try_at=row[2], probe=row[3])
    return circuit, row[4]


def _write(connection: Connection, deployment_id: int, before: Circuit, after: Circuit) -> None:
    if before == after:
        return
    connection.execute(
        """UPDATE circuits SET failures = %s, opened_at = %s, try_at = %s, probe = %s WHERE deployment_id = %s""",
        [Json(list(after.failures)), after.opened_at, after.try_at, after.probe, deployment_id],
    )
    if (before.opened_at is None) != (after.opened_at is None):
        _tell(connection, deployment_id, is_open=after.opened_at is not None)


def _tell(connection: Connection, deployment_id: int, *, is_open: bool) -> None:
    row = connection.execute(
        "UPDATE deployments SET circuit_open = %s WHERE id = %s RETURNING organisation, name",
        [is_open, deployment_id],
    ).fetchone()
    if row is not None:
        payload = Changed(row[0], (row[1],)).payload
        connection.execute("SELECT pg_notify(%s, %s)", [DEPLOYMENTS_CHANGED, payload])
