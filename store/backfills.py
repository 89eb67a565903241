"""Backfills: slots of the past that somebody wants to run, a few at a time, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg.types.json import Json

from schemas.pattern import JSON
from store.database import BACKFILLS_CHANGED, Connection

MOST_SLOTS = 10_000
"""Of one backfill."""

MOST_PARALLEL = 100


class BackfillState(StrEnum):
    RUNNING = "running"  # slots are left, or their runs are at work
    COMPLETED = "completed"  # every slot had its run, and all have ended
    CANCELLED = "cancelled"  # no more of its slots begin


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBackfill:
    """`schedule` is the key of what its slots belong to, `said` that schedule as people know it."""

    id: str
    deployment_id: int
    schedule: str
    said: str
    timezone: str
    input: JSON
    from_at: datetime
    until_at: datetime
    max_parallel: int
    reverse: bool
    actor: str


def create(connection: Connection, new: NewBackfill, slots: Sequence[datetime]) -> None:
    """With its slots, in the order in which they shall begin."""
    with connection.transaction():
        connection.execute(
            """INSERT INTO backfills (id, deployment_id, schedule, said, input, from_at, until_at, max_parallel,
                                      reverse, state, actor)
               VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 'running', %s)""",
            [
                new.id,
                new.deployment_id,
                new.schedule,
                Json({"schedule": new.said, "timezone": new.timezone}),
                None if new.input is None else Json(new.input),
                new.from_at,
                new.until_at,
                new.max_parallel,
                new.reverse,
                new.actor,
            ],
        )
        connection.execute(
            """INSERT INTO backfill_slots (backfill_id, position, at)
               SELECT %s, place, at FROM unnest(%s::timestamptz[]) WITH ORDINALITY AS t(at, place)""",
            [new.id, list(slots)],
        )
        connection.execute("SELECT pg_notify(%s, '')", [BACKFILLS_CHANGED])


def ran(
    connection: Connection, deployment_id: int, schedule: str, said: str, within: tuple[datetime, datetime]
) -> set[datetime]:
    """The slots of a schedule, first and last instant included, that started a run, or will by another backfill.

    The runs are asked as well: they are kept longer than slots. Those of before they said their schedule count.
    """
    rows = connection.execute(
        """SELECT at FROM slots
           WHERE deployment_id = %(id)s AND schedule = %(key)s AND at BETWEEN %(from)s AND %(until)s
               AND (run_id IS NOT NULL OR open)
           UNION SELECT s.at FROM backfills b JOIN backfill_slots s ON s.backfill_id = b.id
           WHERE b.deployment_id = %(id)s AND b.schedule = %(key)s AND s.at BETWEEN %(from)s AND %(until)s
               AND (s.run_id IS NOT NULL OR b.state = 'running')
           UNION SELECT at FROM (
               SELECT CASE WHEN trigger_kind = 'schedule' AND coalesce(trigger->>'schedule', %(said)s) = %(said)s
                           THEN (trigger->>'time')::timestamptz END AS at
               FROM runs WHERE deployment_id = %(id)s AND id >= %(first)s::uuid AND trigger_kind = 'schedule'
           ) AS fired WHERE at BETWEEN %(from)s AND %(until)s""",
        {
            "id": deployment_id,
            "key": schedule,
            "said": said,
            "from": within[0],
            "until": within[1],
            "first": _first_id(within[0]),
        },
        prepare=False,
    )
    return {row[0] for row in rows}


def _first_id(at: datetime) -> str:
    """The least id of a run that was accepted at that time (UUIDv7)."""
    milliseconds = max(0, int(at.timestamp() * 1000))
    text = f"{milliseconds:012x}"
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"


def running(connection: Connection) -> list[str]:
    """Those that go on, the oldest first."""
    return [
        row[0]
        for row in connection.execute("SELECT id::text FROM backfills WHERE state = 'running' ORDER BY id")
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A backfill in one controller's hands. `deployment_state` None: there is no such deployment any more."""

    id: str
    deployment_id: int
    said: str
    input: JSON
    max_parallel: int
    reason: str | None
    deployment_state: str | None


def hold(connection: Connection, backfill: str) -> Held | None:
    """To the end of the transaction; None where somebody else holds it, or it has ended."""
    row = connection.execute(
        """SELECT b.id::text, b.deployment_id, b.said->>'schedule', b.input, b.max_parallel, b.reason, d.state
           FROM backfills b LEFT JOIN deployments d ON d.id = b.deployment_id
           WHERE b.id = %s AND b.state = 'running' FOR UPDATE OF b SKIP LOCKED""",
        [backfill],
    ).fetchone()
    names = ("id", "deployment_id", "said", "input", "max_parallel", "reason", "deployment_state")
    return None if row is None else Held(**dict(zip(names, row, strict=True)))


def settle(connection: Connection, backfill: str) -> int:
    """Note which of its runs have ended. Gives how many have not."""
    connection.execute(
        """UPDATE backfill_slots s SET ended = true
           WHERE s.backfill_id = %s AND NOT s.ended AND s.run_id IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = s.run_id AND r.ended_at IS NULL)""",
        [backfill],
    )
    row = connection.execute(
        "SELECT count(*) FROM backfill_slots WHERE backfill_id = %s AND NOT ended AND run_id IS NOT NULL",
        [backfill],
    ).fetchone()
    assert row is not None
    return int(row[0])


def left(connection: Connection, backfill: str, most: int) -> list[tuple[int, datetime]]:
    """The next (position, slot) that have not begun."""
    rows = connection.execute(
        """SELECT position, at FROM backfill_slots WHERE backfill_id = %s AND NOT ended AND run_id IS NULL
           ORDER BY position LIMIT %s""",
        [backfill, most],
    )
    return [(row[0], row[1]) for row in rows]


def begin(connection: Connection, backfill: str, position: int, run: str) -> None:
    connection.execute(
        "UPDATE backfill_slots SET run_id = %s WHERE backfill_id = %s AND position = %s",
        [run, backfill, position],
    )


def tell(connection: Connection, backfill: str, reason: str | None) -> None:
    """Why it does not go on for now; None: it does."""
    connection.execute("UPDATE backfills SET reason = %s WHERE id = %s", [reason, backfill])


def end(connection: Connection, backfill: str, state: BackfillState, reason: str | None = None) -> bool:
    """False: it had ended before."""
    done = connection.execute(
        """UPDATE backfills SET state = %s, reason = %s, ended_at = clock_timestamp()
           WHERE id = %s AND state = 'running'""",
        [state, reason, backfill],
    )
    return done.rowcount == 1


@dataclass(frozen=True, kw_only=True, slots=True)
class BackfillRow:
    """`total` slots, of which `begun` have runs and `ended` runs that have ended."""

    id: str
    said: str
    timezone: str
    from_at: datetime
    until_at: datetime
    max_parallel: int
    reverse: bool
    state: BackfillState
    reason: str | None
    actor: str
    created_at: datetime
    ended_at: datetime | None
    total: int
    begun: int
    ended: int


def list_backfills(
    connection: Connection, deployment_id: int, before: str | None, limit: int, *, only: str | None = None
) -> list[BackfillRow]:
    """Up to `limit` of a deployment's with ids below `before`, newest first; or the one that is called `only`."""
    rows = connection.execute(
        """SELECT b.id::text, b.said->>'schedule', b.said->>'timezone', b.from_at, b.until_at, b.max_parallel,
               b.reverse, b.state, b.reason, b.actor, b.created_at, b.ended_at, s.total, s.begun, s.ended
           FROM backfills b
           CROSS JOIN LATERAL (
               SELECT count(*) AS total, count(x.run_id) AS begun,
                   count(x.run_id) FILTER (WHERE x.ended OR NOT EXISTS (
                       SELECT 1 FROM runs r WHERE r.id = x.run_id AND r.ended_at IS NULL)) AS ended
               FROM backfill_slots x WHERE x.backfill_id = b.id) AS s
           WHERE b.deployment_id = %(id)s AND (%(before)s::uuid IS NULL OR b.id < %(before)s::uuid)
               AND (%(only)s::uuid IS NULL OR b.id = %(only)s::uuid)
           ORDER BY b.id DESC LIMIT %(limit)s""",
        {"id": deployment_id, "before": before, "only": only, "limit": limit},
        prepare=False,
    )
    names = (
        "id", "said", "timezone", "from_at", "until_at", "max_parallel", "reverse", "state", "reason", "actor",
        "created_at", "ended_at", "total", "begun", "ended",
    )  # fmt: skip
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [BackfillRow(**{**row, "state": BackfillState(row["state"])}) for row in found]
