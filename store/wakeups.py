"""What makes a waiting run go on: what it waited for, its timer, a cancellation, a bell nobody heard."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from store.database import RUN_CANCELLED, RUN_WOKEN, Connection
from store.runs import RING_AGAIN, RunStatus

_WAKE = b"""
UPDATE runs SET woken = true,
       status = CASE status WHEN 'waiting' THEN 'pending' ELSE status END,
       wake_at = NULL,
       due_at = CASE status WHEN 'waiting' THEN now() + %s * interval '1 second' ELSE due_at END
WHERE id = ANY(%b::uuid[]) AND ended_at IS NULL
RETURNING id::text, status, CASE status WHEN 'running' THEN pg_notify(%s, id::text) END
"""


def wake(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Something that these runs wait for has happened. Gives those that are ready to be claimed.

    Those that are at work with something else are told.
    """
    rows = connection.execute(_WAKE, [RING_AGAIN, list(ids), RUN_WOKEN])
    return [run for run, status, _ in rows if status == RunStatus.PENDING]


def wake_due(connection: Connection, limit: int = 1000) -> list[str]:
    """Wake the runs whose timer is over. Gives the runs to ring for."""
    sql = """
        UPDATE runs SET status = 'pending', wake_at = NULL, due_at = now() + %s * interval '1 second'
        WHERE id IN (SELECT id FROM runs WHERE wake_at <= now()
                     ORDER BY wake_at LIMIT %s FOR UPDATE SKIP LOCKED)
        RETURNING id::text
    """
    return [row[0] for row in connection.execute(sql, [RING_AGAIN, limit])]


def unclaimed(connection: Connection, limit: int = 1000, *, patience: float = 0.0) -> list[str]:
    """Pending runs that nobody claimed in time, or so many seconds later. They come up again after a while."""
    sql = """
        UPDATE runs SET due_at = now() + 6 * %s * interval '1 second'
        WHERE id IN (SELECT id FROM runs
                     WHERE ended_at IS NULL AND wake_at IS NULL AND status = 'pending'
                       AND due_at <= now() - %s * interval '1 second'
                     ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED)
        RETURNING id::text
    """
    return [row[0] for row in connection.execute(sql, [RING_AGAIN, patience, limit])]


def all_pending(connection: Connection, batch: int = 1000) -> Iterator[list[str]]:
    """Every pending run, oldest first, in batches."""
    sql = """
        SELECT id::text FROM runs
        WHERE ended_at IS NULL AND wake_at IS NULL AND status = 'pending' AND id > %s ORDER BY id LIMIT %s
    """
    last = "00000000-0000-0000-0000-000000000000"
    while runs := [row[0] for row in connection.execute(sql, [last, batch])]:
        yield runs
        last = runs[-1]


def next_timer(connection: Connection) -> float | None:
    """Seconds until the first timer of a waiting run, None when there is none."""
    sql = """
        SELECT extract(epoch FROM wake_at - clock_timestamp())::float8 FROM runs
        WHERE wake_at < 'infinity' ORDER BY wake_at LIMIT 1
    """
    row = connection.execute(sql).fetchone()
    return None if row is None else float(row[0])


def cancel(connection: Connection, run: str) -> list[str] | None:
    """Ask a run and all that it called to end; what is queued ends at once.

    Gives the runs to ring for, None when it had already ended.
    """
    sql = """
        WITH RECURSIVE family AS (
            SELECT id FROM runs WHERE id = %s AND ended_at IS NULL
            UNION ALL SELECT r.id FROM runs r JOIN family f ON r.parent_id = f.id WHERE r.ended_at IS NULL
        )
        UPDATE runs SET cancelled = true, woken = true,
               status = CASE status WHEN 'waiting' THEN 'pending' WHEN 'queued' THEN 'cancelled' ELSE status END,
               ended_at = CASE status WHEN 'queued' THEN clock_timestamp() ELSE ended_at END,
               wake_at = NULL, queued_at = NULL,
               due_at = CASE status WHEN 'waiting' THEN now() + %s * interval '1 second' ELSE due_at END
        WHERE id IN (SELECT id FROM family)
        RETURNING id::text, status, parent_id::text, pg_notify(%s, id::text)
    """
    with connection.transaction():
        rows = connection.execute(sql, [run, RING_AGAIN, RUN_CANCELLED]).fetchall()
        callers = sorted({row[2] for row in rows if row[1] == RunStatus.CANCELLED and row[2]})
        awake = wake(connection, callers) if callers else []
    return [row[0] for row in rows if row[1] == RunStatus.PENDING] + awake if rows else None
