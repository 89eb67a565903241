"""Runs that start because another one ended badly: `on: {error: {from: […]}}`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from schemas.pattern import JSON
from schemas.times import timestamp
from store import admission, circuits
from store.admission import Slot
from store.database import Connection
from store.ids import new_id

LONGEST_CHAIN = 5
"""How many error runs may follow from each other's bad ends."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that ended badly. `cause` is the trigger of the run that all began with, `began` that run's pattern."""

    id: str
    deployment: str
    pattern: str
    version: int | None
    attempt: int
    input: JSON
    error: JSON
    cause: Mapping[str, JSON]
    began: str
    now: float

    @property
    def chain(self) -> int:
        """How many error runs led here."""
        return int(self.cause.get("chain", 1)) if self.cause.get("kind") == "error" else 0


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A deployment that listens, and the globs of what it listens to."""

    deployment_id: int
    pattern: str
    globs: Sequence[str]
    circuit_open: bool


def hears(listener: Listener, ended: Ended) -> bool:
    """Whether a bad end starts a run of the listener: none answers its own answers, no chain is endless. Pure."""
    if not any(fnmatchcase(ended.pattern, glob) for glob in listener.globs):
        return False
    if ended.chain >= LONGEST_CHAIN:
        return False
    return not (ended.chain and listener.pattern in (ended.pattern, ended.began))


def trigger_of(ended: Ended) -> dict[str, JSON]:
    """What the run of a listener sees of it."""
    run = {
        "id": ended.id,
        "deployment": ended.deployment,
        "pattern": ended.pattern,
        "version": ended.version,
        "attempt": ended.attempt,
        "input": ended.input,
    }
    time = timestamp(ended.now)
    return {"kind": "error", "error": ended.error, "run": run, "time": time, "chain": ended.chain + 1}


def start(connection: Connection, runs: Sequence[str]) -> tuple[list[str], list[Slot]]:
    """Start what listens to the bad ends of these runs, in the transaction that ended them.

    Gives the runs to ring for, and the slots to settle once it is committed.
    """
    ring: list[str] = []
    slots: list[Slot] = []
    for listener, ended in _heard(connection, runs):
        run = new_id()
        if listener.circuit_open and circuits.let_in(connection, listener.deployment_id, run) is not None:
            continue
        limited = _insert(connection, run, listener, ended)
        if limited is None:
            ring.append(run)
        else:
            slots += admission.limit_called(connection, [(run, limited)])
    return ring, slots


def _heard(connection: Connection, runs: Sequence[str]) -> Iterator[tuple[Listener, Ended]]:
    rows = connection.execute(
        """SELECT d.id, d.pattern, d.error_from, d.circuit_open,
               r.id::text, o.name, r.pattern, f.number, r.attempt, r.input, r.error, b.trigger, b.pattern,
               extract(epoch FROM clock_timestamp())::float8
           FROM runs r
           JOIN deployments o ON o.id = r.deployment_id
           JOIN deployments d ON d.organisation = o.organisation AND d.environment = o.environment
               AND d.error_from IS NOT NULL AND d.state = 'active'
           JOIN runs b ON b.id = coalesce(r.root_id, r.id)
           LEFT JOIN freezes f ON f.organisation = o.organisation AND f.version_id = r.version_id
           WHERE r.id = ANY(%s::uuid[]) ORDER BY r.id, d.name""",
        [list(runs)],
    ).fetchall()
    names = (
        "id", "deployment", "pattern", "version", "attempt", "input", "error", "cause", "began", "now",
    )  # fmt: skip
    for id_, pattern, globs, circuit_open, *told in rows:
        listener = Listener(deployment_id=id_, pattern=pattern, globs=globs, circuit_open=circuit_open)
        ended = Ended(**dict(zip(names, told, strict=True)))
        if hears(listener, ended):
            yield listener, ended


def _insert(connection: Connection, run: str, listener: Listener, ended: Ended) -> int | None:
    """Gives the deployment whose limit it has to obey: then it is queued, until that is settled."""
    row = connection.execute(
        """INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger,
               due_at, created_at, limited_by, queued_at)
           SELECT %s, id, revision, version_id, pattern,
               CASE WHEN concurrency IS NULL THEN 'pending' ELSE 'queued' END, 'error', %s::json,
               now(), clock_timestamp(), CASE WHEN concurrency IS NOT NULL THEN id END,
               CASE WHEN concurrency IS NOT NULL THEN clock_timestamp() END
           FROM deployments WHERE id = %s RETURNING limited_by""",
        [run, json.dumps(trigger_of(ended)), listener.deployment_id],
    ).fetchone()
    assert row is not None, "deployments are never deleted"
    return None if row[0] is None else int(row[0])
