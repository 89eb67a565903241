"""The limits of deployments (`concurrency`): who holds a slot of which, and who begins when one is free.

A run that obeys a limit holds a slot from admission to its end, also while it waits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from psycopg.types.json import Json

from schemas.deployment import Concurrency, WhenFull, concurrency_from
from schemas.expressions import ExpressionFailed, ExpressionInvalid, compile_template
from schemas.pattern import JSON
from store.database import Connection
from store.runs import RING_AGAIN
from store.wakeups import cancel, wake

LONGEST_KEY = 200
"""Characters; of a longer one its hash stands in."""

OVERDUE = 2.0
"""Seconds after which the sweeper looks whether a queued run was forgotten."""


class Slot(NamedTuple):
    """Of the limit of a deployment, for one key."""

    deployment_id: int
    key: str


class Asked(NamedTuple):
    """What a deployment asks of a run: `slot` and `concurrency` are None where it has no limit."""

    deployment_id: int
    slot: Slot | None
    concurrency: Concurrency | None
    circuit_open: bool


def asked_of(connection: Connection, run: str, deployment_id: int | None = None) -> Asked:
    """Of a run that was just written. `deployment_id`: the one to obey, where that is not the run's own."""
    row = connection.execute(
        """SELECT d.id, d.concurrency, d.circuit_open, r.trigger, r.input, n.spec -> 'variables',
               v.content -> 'spec' -> 'variables'
           FROM runs r JOIN deployments d ON d.id = coalesce(%s, r.deployment_id)
           LEFT JOIN revisions n ON n.deployment_id = d.id AND n.revision = d.revision
           LEFT JOIN versions v ON v.id = r.version_id
           WHERE r.id = %s""",
        [deployment_id, run],
    ).fetchone()
    assert row is not None, "the run was just written"
    id_, written, circuit_open, trigger, input_, own, defaults = row
    if written is None:
        return Asked(id_, None, None, circuit_open)
    concurrency = concurrency_from(written)
    scope = {"trigger": trigger, "input": input_, "vars": {**(defaults or {}), **(own or {})}}
    return Asked(id_, Slot(id_, _key(concurrency, scope)), concurrency, circuit_open)


def _key(concurrency: Concurrency, scope: dict[str, JSON]) -> str:
    """What the expression gives, as text. Runs of which it cannot be told share one key."""
    if concurrency.key is None:
        return ""
    try:
        value = compile_template(concurrency.key).evaluate(scope)
    except (ExpressionFailed, ExpressionInvalid):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(text) <= LONGEST_KEY and "\0" not in text:
        return text
    return hashlib.sha256(text.encode()).hexdigest()


def lock(connection: Connection, deployment_id: int) -> None:
    """Until the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [deployment_id])


def taken(connection: Connection, slot: Slot) -> int:
    """Runs that hold a slot of the key, or wait for one."""
    row = connection.execute(
        """SELECT (SELECT count(*) FROM runs WHERE limited_by = %(id)s AND limit_key = %(key)s
                   AND ended_at IS NULL AND limited_by IS NOT NULL AND queued_at IS NULL)
                + (SELECT count(*) FROM runs WHERE limited_by = %(id)s AND limit_key = %(key)s
                   AND queued_at IS NOT NULL)""",
        {"id": slot.deployment_id, "key": slot.key},
    ).fetchone()
    assert row is not None
    return int(row[0])


def limit_called(connection: Connection, children: Sequence[tuple[str, int]]) -> list[Slot]:
    """Called runs that were just written as queued, with the deployments of their patterns whose limits they obey:
    give them their keys. `settle` the slots once that is committed.
    """
    slots = []
    for run, deployment_id in children:
        slot = asked_of(connection, run, deployment_id).slot or Slot(deployment_id, "")
        connection.execute("UPDATE runs SET limit_key = %s WHERE id = %s", [slot.key, run])
        slots.append(slot)
    return slots


def settle(connection: Connection, slots: Iterable[Slot]) -> list[str]:
    """A run of these keys has ended, or a called one was queued. Gives the runs to ring for."""
    return [run for slot in sorted(set(slots)) for run in _settle(connection, slot)]


def _settle(connection: Connection, slot: Slot) -> list[str]:
    with connection.transaction():
        lock(connection, slot.deployment_id)
        concurrency = _concurrency(connection, slot.deployment_id)
        limit = None if concurrency is None else concurrency.limit
        ring = _fill(connection, slot, limit)
        if concurrency is not None and concurrency.when_full is WhenFull.REJECT:
            ring += _reject_called(connection, slot)
    return ring + cancel_surplus(connection, slot)


def _concurrency(connection: Connection, deployment_id: int) -> Concurrency | None:
    row = connection.execute("SELECT concurrency FROM deployments WHERE id = %s", [deployment_id]).fetchone()
    return None if row is None or row[0] is None else concurrency_from(row[0])


_FILL = """
UPDATE runs SET status = 'pending', queued_at = NULL, due_at = now() + %(ring)s * interval '1 second'
WHERE id IN (
    SELECT id FROM runs WHERE limited_by = %(id)s AND limit_key = %(key)s AND queued_at IS NOT NULL
    ORDER BY queued_at, id
    LIMIT CASE WHEN %(limit)s::int IS NOT NULL THEN greatest(0, %(limit)s::int - (
        SELECT count(*) FROM runs WHERE limited_by = %(id)s AND limit_key = %(key)s
            AND ended_at IS NULL AND limited_by IS NOT NULL AND queued_at IS NULL)) END)
  AND queued_at IS NOT NULL
RETURNING id::text
"""


def _fill(connection: Connection, slot: Slot, limit: int | None) -> list[str]:
    """Who came first, begins first. `limit` None: there is none any more."""
    given = {"id": slot.deployment_id, "key": slot.key, "limit": limit, "ring": RING_AGAIN}
    return sorted(row[0] for row in connection.execute(_FILL, given))


_FULL: dict[str, Any] = {
    "type": "concurrency_full",
    "message": "As many runs of this pattern are at work as its deployment's `concurrency` allows.",
    "hint": "Raise its `limit`, or let it queue: `whenFull: queue`.",
    "node": None,
    "retryable": True,
}


def _reject_called(connection: Connection, slot: Slot) -> list[str]:
    """Where others are refused, a called run fails, and its caller goes on with that. So do answers to errors."""
    rows = connection.execute(
        """UPDATE runs SET status = 'failed', error = %s::json, queued_at = NULL, ended_at = clock_timestamp()
           WHERE limited_by = %s AND limit_key = %s AND queued_at IS NOT NULL
               AND (parent_id IS NOT NULL OR trigger_kind = 'error')
           RETURNING parent_id::text""",
        [Json(_FULL), slot.deployment_id, slot.key],
    ).fetchall()
    callers = sorted({row[0] for row in rows if row[0]})
    return wake(connection, callers) if callers else []


def cancel_surplus(connection: Connection, slot: Slot) -> list[str]:
    """With `cancel-oldest`, ask all but the newest runs of the key to end. Gives the runs to ring for.

    Outside a transaction: it waits for the rows of runs that are at work.
    """
    concurrency = _concurrency(connection, slot.deployment_id)
    if concurrency is None or concurrency.when_full is not WhenFull.CANCEL_OLDEST:
        return []
    rows = connection.execute(
        """SELECT id::text FROM (
               SELECT id, created_at, cancelled FROM runs WHERE limited_by = %(id)s AND limit_key = %(key)s
                   AND ended_at IS NULL AND limited_by IS NOT NULL AND queued_at IS NULL
               UNION ALL
               SELECT id, created_at, cancelled FROM runs WHERE limited_by = %(id)s AND limit_key = %(key)s
                   AND queued_at IS NOT NULL
           ) AS open WHERE NOT cancelled ORDER BY created_at DESC, id DESC OFFSET %(limit)s""",
        {"id": slot.deployment_id, "key": slot.key, "limit": concurrency.limit},
    ).fetchall()
    return [run for (surplus,) in rows for run in cancel(connection, surplus) or ()]


def overdue(connection: Connection, limit: int = 1000) -> list[Slot]:
    """Keys with queued runs that nobody settled: a worker died in between, or a limit was raised or taken away."""
    rows = connection.execute(
        """SELECT q.limited_by, q.limit_key
           FROM (SELECT DISTINCT limited_by, limit_key FROM runs
                 WHERE queued_at <= clock_timestamp() - %s * interval '1 second') AS q
           LEFT JOIN deployments d ON d.id = q.limited_by
           WHERE d.concurrency IS NULL OR (d.concurrency ->> 'limit')::int > (
               SELECT count(*) FROM runs r WHERE r.limited_by = q.limited_by AND r.limit_key = q.limit_key
                   AND r.ended_at IS NULL AND r.limited_by IS NOT NULL AND r.queued_at IS NULL)
           LIMIT %s""",
        [OVERDUE, limit],
    )
    return [Slot(*row) for row in rows]
