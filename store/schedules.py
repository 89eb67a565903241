"""Schedules that are live, and the slots that were fired: one row per schedule and instant decides who fires."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.pattern import JSON
from store import admission
from store.admission import Verdict
from store.database import Connection
from store.runs import NewRun

KEPT = timedelta(days=2)
"""How long a fired slot is remembered: far longer than any controller lags behind."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduled:
    """An active deployment, with what its schedules are read from. `since`: when it became what it is."""

    deployment_id: int
    version_id: str
    pattern: str
    spec: Mapping[str, JSON]
    pattern_spec: Mapping[str, JSON]
    since: datetime


def scheduled(connection: Connection) -> list[Scheduled]:
    """Every active deployment with a schedule of its own or of its pattern."""
    sql = """
        SELECT d.id, d.version_id, d.pattern, r.spec, v.content->'spec', r.at
        FROM deployments d
        JOIN revisions r ON r.deployment_id = d.id AND r.revision = d.revision
        JOIN versions v ON v.id = d.version_id
        WHERE d.state = 'active'
          AND (r.spec->'schedules' IS NOT NULL OR v.content->'spec'->'on'->'schedule' IS NOT NULL)
        ORDER BY d.id
    """
    names = ("deployment_id", "version_id", "pattern", "spec", "pattern_spec", "since")
    return [Scheduled(**dict(zip(names, row, strict=True))) for row in connection.execute(sql)]


def clock(connection: Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def fire(connection: Connection, run: NewRun, schedule: str, at: datetime) -> Verdict | None:
    """Start `run` for the slot `at`; None: somebody did. Why it was refused is kept with the slot."""
    with connection.transaction():
        taken = connection.execute(
            """INSERT INTO slots (deployment_id, schedule, at, run_id) VALUES (%s, %s, %s, %s)
               ON CONFLICT DO NOTHING""",
            [run.deployment_id, schedule, at, run.id],
        )
        if not taken.rowcount:
            return None
        connection.execute(
            "DELETE FROM slots WHERE deployment_id = %s AND schedule = %s AND at < %s",
            [run.deployment_id, schedule, at - KEPT],
        )
        verdict = admission.admit(connection, [run])[run.id]
        if not verdict.accepted:
            connection.execute(
                """UPDATE slots SET run_id = NULL, refused = %s
                   WHERE deployment_id = %s AND schedule = %s AND at = %s""",
                [verdict.answer, run.deployment_id, schedule, at],
            )
        return verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A slot that started nothing. `reason` is what admission answered."""

    at: datetime
    reason: str


def last_skipped(connection: Connection, deployment_id: int) -> Skipped | None:
    """The latest slot of a deployment's schedules that was refused, of those that are remembered."""
    row = connection.execute(
        "SELECT at, refused FROM slots WHERE deployment_id = %s AND refused IS NOT NULL ORDER BY at DESC LIMIT 1",
        [deployment_id],
    ).fetchone()
    return None if row is None else Skipped(at=row[0], reason=row[1])
