"""Runs: what they are, and how they are accepted.

Whoever writes to a run that is being worked on shows its `lease` number. Claiming and freeing both raise
it, so a worker that was declared dead and is not writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from psycopg.pq import TransactionStatus

from store.arrays import plain, texts
from store.database import Connection
from store.run_keys import Once
from store.statements import Statement

RING_AGAIN = 5.0
"""Seconds after which a pending run that nobody claimed is announced once more."""


class RunStatus(StrEnum):
    QUEUED = "queued"  # accepted, waits until its deployment's `concurrency` has room
    PENDING = "pending"  # accepted, waits for a worker
    RUNNING = "running"  # a worker holds its lease
    WAITING = "waiting"  # sleeps, awaits a called run or its next attempt; holds no worker
    COMPLETED = "completed"
    FAILED = "failed"  # an error that no retry was asked for, or could help
    TIMEOUT = "timeout"  # the run's own time limit
    CANCELLED = "cancelled"
    DEAD_LETTER = "dead_letter"  # every attempt of its retry failed


ENDED = (
    RunStatus.COMPLETED,
    RunStatus.FAILED,
    RunStatus.TIMEOUT,
    RunStatus.CANCELLED,
    RunStatus.DEAD_LETTER,
)


ENDED_BADLY = (RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.DEAD_LETTER)
"""What somebody may want to hear of; a cancelled run was somebody's wish."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NewRun:
    """A trigger that was heard. `trigger` and `input` are JSON text. With `once`, another run of its key takes its
    place.
    """

    id: str
    deployment_id: int
    kind: str
    trigger: str
    input: str | None = None
    actor: str | None = None
    replay_of: str | None = None
    once: Once | None = None


ACCEPT = Statement(
    "accept",
    """
INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger, input,
                  actor, replay_of, due_at, created_at)
SELECT n.id, d.id, d.revision, d.version_id, d.pattern, 'pending', n.kind, n.trigger::json, n.input::json,
       n.actor, n.replay_of, now() + $1::float8 * interval '1 second', now()
FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::uuid[])
       AS n(id, deployment_id, kind, trigger, input, actor, replay_of)
JOIN deployments d ON d.id = n.deployment_id AND d.state = 'active' AND d.concurrency IS NULL AND NOT d.circuit_open
RETURNING id
""",
)

_ACCEPT_GATED = """
INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger, input,
                  actor, replay_of, due_at, created_at)
SELECT %s, d.id, d.revision, d.version_id, d.pattern, 'pending', %s, %s::json, %s::json,
       %s, %s, now() + %s * interval '1 second', clock_timestamp()
FROM deployments d WHERE d.id = %s AND d.state = 'active'
"""


def accept(connection: Connection, runs: Sequence[NewRun]) -> set[str]:
    """Make runs durable, each bound to the version that is live at this very moment.

    Gives the ids that were accepted; the others' deployments are not active, or ask for more: `admission.admit`.
    """
    columns = [
        plain([r.id for r in runs]),
        plain([r.deployment_id for r in runs]),
        plain([r.kind for r in runs]),
        texts([r.trigger for r in runs]),
        texts([r.input for r in runs]),
        texts([r.actor for r in runs]),
        plain([r.replay_of for r in runs]),
    ]
    alone = connection.pgconn.transaction_status == TransactionStatus.IDLE
    take = ACCEPT.rows if alone else ACCEPT.rows_unprepared
    return {run.decode() for (run,) in take(connection, [str(RING_AGAIN), *columns]) if run}


def accept_gated(connection: Connection, run: NewRun) -> bool:
    """The same for a run whose deployment asks for more: `admission.place` it in the same transaction."""
    done = connection.execute(
        _ACCEPT_GATED,
        [run.id, run.kind, run.trigger, run.input, run.actor, run.replay_of, RING_AGAIN, run.deployment_id],
    )
    return done.rowcount == 1


def withdraw(connection: Connection, run: str) -> None:
    """Take back a run that was accepted in this very transaction."""
    connection.execute("DELETE FROM runs WHERE id = %s", [run])
