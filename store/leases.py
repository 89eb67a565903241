"""Leases: which worker has which run in hand, and how it is taken from a dead one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import orjson
from psycopg.types.json import Json

from schemas.pattern import JSON
from store import aftermath
from store.arrays import plain
from store.database import Connection
from store.runs import RING_AGAIN
from store.statements import Row, Statement
from store.wakeups import wake

LEASE = 10.0
"""Seconds after which a run whose worker's machine is gone is taken from it."""

MAX_CRASHES = 3
"""A run under which so many workers died, the last one with nothing else in hand, is a dead letter."""

MANY = 32_767  # more than a run ever has

SUSPECT = MAX_CRASHES - 1
"""From so many crashes on, a run is executed alone: what dies then, dies of nothing else."""


class ClaimedRun(NamedTuple):
    """A run in a worker's hands, of a deployment or a draft. Times are the database's: seconds since the epoch."""

    id: str
    lease: int
    deployment_id: int | None
    revision: int
    version_id: str
    pattern: str
    trigger_kind: str
    trigger: JSON
    input: JSON
    attempt: int
    cancelled: bool
    parent_id: str | None
    root_id: str | None
    depth: int
    started_at: float
    now: float
    draft_id: int | None = None


CLAIM = Statement(
    "claim",
    """
UPDATE runs SET status = 'running', lease = lease + 1, worker = $1::text, woken = false,
       due_at = now() + $2::float8 * interval '1 second', started_at = coalesce(started_at, now())
WHERE id = ANY($3::uuid[]) AND status = 'pending' AND crashes < $4::int
RETURNING id, lease, deployment_id, revision, version_id, pattern, trigger_kind, trigger, input,
          attempt, cancelled, parent_id, root_id, depth,
          extract(epoch FROM started_at), extract(epoch FROM now()), draft_id
""",
)


def claim(
    connection: Connection, worker: str, ids: Sequence[str], *, alone: bool = False
) -> list[ClaimedRun]:
    """Take those of `ids` that are ready, in their order; suspects only where nothing else is in hand."""
    below = MANY if alone else SUSPECT
    rows = CLAIM.rows(connection, [worker, str(LEASE), plain(ids), str(below)])
    claimed = {run.id: run for run in map(_claimed, rows)}
    return [claimed[i] for i in ids if i in claimed]


def _claimed(row: Row) -> ClaimedRun:
    values: Any = [None if value is None else read(value) for value, read in zip(row, _READERS, strict=True)]
    return ClaimedRun(*values)


# Of the columns that CLAIM returns.
_READERS: Sequence[Callable[[bytes], Any]] = (
    bytes.decode, int, int, int, bytes.decode, bytes.decode, bytes.decode, orjson.loads, orjson.loads,
    int, b"t".__eq__, bytes.decode, bytes.decode, int, float, float, int,
)  # fmt: skip


_RENEW = b"""
UPDATE runs SET due_at = now() + %s * interval '1 second'
FROM unnest(%b::uuid[], %b::int[]) AS h(id, lease)
WHERE runs.id = ANY(%b::uuid[]) AND runs.id = h.id AND runs.lease = h.lease AND runs.status = 'running'
RETURNING runs.id::text, cancelled
"""


def renew(connection: Connection, held: Sequence[tuple[str, int]]) -> dict[str, bool]:
    """Extend the leases of (run id, lease) pairs. Gives those still held → whether they were cancelled."""
    ids, leases = [run for run, _ in held], [lease for _, lease in held]
    return dict(connection.execute(_RENEW, [LEASE, ids, leases, ids]).fetchall())


_FREED = b"""
SET status = CASE WHEN %(guilty)s AND crashes + 1 >= %(crashes)s THEN 'dead_letter' ELSE 'pending' END,
    error = CASE WHEN %(guilty)s AND crashes + 1 >= %(crashes)s THEN %(error)s::json ELSE error END,
    ended_at = CASE WHEN %(guilty)s AND crashes + 1 >= %(crashes)s THEN clock_timestamp() END,
    crashes = least(crashes + 1, 32767), lease = lease + 1, worker = NULL,
    due_at = now() + %(ring)s * interval '1 second'
"""

_POISON = {
    "type": "worker_crashed",
    "message": f"{MAX_CRASHES} workers died while they had this run in hand, the last one with nothing else.",
    "hint": "Look at the worker's log for memory limits or crashing native code, then retry the run.",
    "node": None,
}


def suspects(connection: Connection, ids: Collection[str]) -> list[str]:
    """Those of `ids` that are ready, to be executed alone."""
    rows = connection.execute(
        "SELECT id::text FROM runs WHERE id = ANY(%s::uuid[]) AND status = 'pending' AND crashes >= %s",
        [list(ids), SUSPECT],
    )
    return [row[0] for row in rows]


def free_alone(connection: Connection, worker: str) -> list[str]:
    """Take its run from a worker that died with nothing else in hand: it may be a dead letter now.

    Gives the runs to ring for, also whoever called it.
    """
    with connection.transaction():
        where = b"WHERE ended_at IS NULL AND wake_at IS NULL AND status = 'running' AND worker = %(worker)s"
        return _free(connection, where, {"worker": worker}, guilty=True)


def free(connection: Connection, workers: Sequence[str] | None) -> list[str]:
    """Take their runs from dead workers (None: from all). Gives the runs to ring for.

    Which of them it was is not known: none becomes a dead letter, suspects are executed alone.
    """
    with connection.transaction():
        where = b"WHERE ended_at IS NULL AND wake_at IS NULL AND status = 'running'"
        if workers is not None:
            where += b" AND worker = ANY(%(workers)s)"
        return _free(connection, where, {"workers": list(workers or ())})


def free_expired(connection: Connection) -> list[str]:
    """Take runs from workers whose lease is over: their machine is gone, or cut off."""
    with connection.transaction():
        where = b"WHERE ended_at IS NULL AND wake_at IS NULL AND status = 'running' AND due_at <= now()"
        return _free(connection, where, {})


def _free(
    connection: Connection, where: bytes, arguments: dict[str, Any], *, guilty: bool = False
) -> list[str]:
    arguments |= {"guilty": guilty, "crashes": MAX_CRASHES, "ring": RING_AGAIN, "error": Json(_POISON)}
    sql = b"UPDATE runs " + _FREED + where + b" RETURNING id::text, parent_id::text, ended_at IS NOT NULL"
    rows = connection.execute(sql, arguments).fetchall()
    after = aftermath.ended_badly(connection, [run for run, _, ended in rows if ended])
    parents = sorted({parent for _, parent, ended in rows if ended and parent})
    ring = [run for run, _, ended in rows if not ended] + (wake(connection, parents) if parents else [])
    return [*ring, *after.ring]  # the sweeper settles slots


def give_back(connection: Connection, held: Sequence[tuple[str, int]]) -> list[str]:
    """A worker that leaves in good order gives up (run id, lease) pairs. Gives the runs to ring for."""
    sql = """
        UPDATE runs SET status = 'pending', lease = runs.lease + 1, worker = NULL, due_at = now()
        FROM unnest(%b::uuid[], %b::int[]) AS h(id, lease)
        WHERE runs.id = ANY(%b::uuid[]) AND runs.id = h.id AND runs.lease = h.lease AND runs.status = 'running'
        RETURNING runs.id::text
    """
    ids, leases = [run for run, _ in held], [lease for _, lease in held]
    return [row[0] for row in connection.execute(sql, [ids, leases, ids])]
