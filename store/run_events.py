"""Events that people and programs post to a run, for its `wait` and `approve` nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.types.json import Json

from schemas.pattern import JSON
from store.database import Connection
from store.wakeups import wake


@dataclass(frozen=True, kw_only=True, slots=True)
class RunEvent:
    """`name` is the event's, or `APPROVAL`; `at` in seconds since the epoch."""

    id: int
    name: str
    body: JSON
    actor: str | None
    at: float


APPROVAL = "weft.approval"
"""The name of an answer to an `approve` node; its body is `{node, approved, form}`."""


def post(connection: Connection, run: str, name: str, body: JSON, actor: str | None) -> list[str] | None:
    """Make an event durable and wake the run. Gives the runs to ring for, None when the run has ended."""
    with connection.transaction():
        kept = connection.execute(
            """INSERT INTO run_events (run_id, name, body, actor)
               SELECT id, %s, %s, %s FROM runs WHERE id = %s AND ended_at IS NULL FOR UPDATE""",
            [name, Json(body), actor, run],
        )
        return wake(connection, [run]) if kept.rowcount else None


def unconsumed(connection: Connection, run: str) -> list[RunEvent]:
    """The events of a run that no node has taken, in the order in which they came."""
    rows = connection.execute(
        """SELECT id, name, body, actor, extract(epoch FROM at)::float8 FROM run_events
           WHERE run_id = %s AND taken_by IS NULL ORDER BY id""",
        [run],
    )
    return [RunEvent(id=i, name=name, body=body, actor=actor, at=at) for i, name, body, actor, at in rows]


def consume(connection: Connection, taken: Sequence[tuple[int, str]]) -> None:
    """Say which node, by its path, took which event."""
    ids, paths = [event for event, _ in taken], [path for _, path in taken]
    connection.execute(
        """UPDATE run_events SET taken_by = t.path FROM unnest(%b::bigint[], %b::text[]) AS t(id, path)
           WHERE run_events.id = t.id""",
        [ids, paths],
    )
