"""Turns at connections that only so many nodes may use at one time, whichever worker they are on.

A turn is a row, and counts as long as its run has the lease under which it was taken: what a worker leaves behind
when it dies is void at the moment in which its runs are freed, and a database that restarts forgets none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.connection import Limit
from store.database import TURN_TAKEN, Connection


@dataclass(frozen=True, kw_only=True)
class Turn:
    """`token` names it, a UUID; it is for a node of `run` as long as that has `lease`."""

    token: str
    run: str
    lease: int


@dataclass(frozen=True, kw_only=True)
class Asked:
    """How a turn that was asked for stands. `granted` are those that were given out by the way, perhaps itself."""

    taken: bool
    granted: Sequence[str]


MOST_TOLD = 200
"""Turns that one notification names (it may have 8,000 bytes); the others find theirs when they look."""


def ask(connection: Connection, limit: Limit, turn: Turn) -> Asked | None:
    """Stand in line, at its end, within the caller's transaction; who stands there already, stays.

    None: its run has gone elsewhere.
    """
    _lock(connection, limit)
    connection.execute(
        """INSERT INTO turns (organisation, connection, environment, run_id, lease, token)
           VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (token) DO NOTHING""",
        [*_key(limit), turn.run, turn.lease, turn.token],
    )
    granted = _grant(connection, limit)
    row = connection.execute(
        "SELECT taken_at IS NOT NULL FROM turns WHERE token = %s", [turn.token]
    ).fetchone()
    return None if row is None else Asked(taken=row[0], granted=granted)


def give_back(connection: Connection, limit: Limit, token: str) -> Sequence[str]:
    """Leave the line, or what was taken to the next. Gives the turns that were granted."""
    _lock(connection, limit)
    connection.execute("DELETE FROM turns WHERE token = %s", [token])
    return _grant(connection, limit)


def _key(limit: Limit) -> list[Any]:
    return [limit.organisation, limit.connection, limit.environment]


def _lock(connection: Connection, limit: Limit) -> None:
    """One after the other, until the end of the transaction: so ids are in the order of asking."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"weft turns {' '.join(_key(limit))}"]
    )


def _grant(connection: Connection, limit: Limit) -> Sequence[str]:
    connection.execute(
        """DELETE FROM turns t WHERE (t.organisation, t.connection, t.environment) = (%s, %s, %s) AND NOT EXISTS (
               SELECT FROM runs r WHERE r.id = t.run_id AND r.lease = t.lease AND r.status = 'running')""",
        _key(limit),
    )
    rows = connection.execute(
        """UPDATE turns SET taken_at = clock_timestamp() WHERE id IN (
               SELECT id FROM turns
               WHERE (organisation, connection, environment) = (%s, %s, %s) AND taken_at IS NULL ORDER BY id
               LIMIT greatest(0, %s - (
                   SELECT count(*) FROM turns
                   WHERE (organisation, connection, environment) = (%s, %s, %s) AND taken_at IS NOT NULL)))
           RETURNING token::text""",
        [*_key(limit), limit.most, *_key(limit)],
    ).fetchall()
    granted = [row[0] for row in rows]
    if granted:
        payload = " ".join(granted[:MOST_TOLD])
        connection.execute("SELECT pg_notify(%s, %s)", [TURN_TAKEN, payload])
    return granted
