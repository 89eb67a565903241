"""A run once more: from the start, or behind what of it is done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from store import admission, dead_letters, drafts
from store.admission import Verdict
from store.database import Connection
from store.runs import RING_AGAIN


class AlreadySettledError(Exception):
    """Somebody retried or discarded the dead letter meanwhile. Nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Replay:
    """`id` is the new run's, `of` the old one's.

    `version` is the one that the deployment must still be on, None for the old run's own. `input` is JSON text,
    None for the old run's own. `kept` are the paths of the nodes of the old run's `attempt` that count as done,
    with those that they have in the new one. `start` is what was asked for: start, failed, or the path of a node.
    `letter`: the old run has to be a dead letter that nobody settled yet.
    """

    id: str
    of: str
    version: str | None = None
    input: str | None = None
    actor: str | None = None
    attempt: int = 1
    kept: Mapping[str, str] = field(default_factory=dict)
    start: str = "start"
    letter: bool = False


def replay(connection: Connection, wanted: Replay) -> Verdict | None:
    """Make the new run durable with the journal that it begins with.

    None when the deployment is not active any more, or is on another version by now, and nothing is written where
    admission refuses it. A dead letter leaves the inbox with it. Raises AlreadySettledError.
    """
    try:
        with connection.transaction():
            if not _insert(connection, wanted):
                return None
            was_open = dead_letters.mark_retried(connection, wanted.of, wanted.id, wanted.actor)
            if wanted.letter and not was_open:
                raise AlreadySettledError(wanted.of)
            slot = admission.place(connection, wanted.id)
            _copy_journal(connection, wanted)
    except admission.Refused as refused:
        return refused.verdict
    return admission.verdict_of(connection, wanted.id, slot)


def repeat_test(connection: Connection, organisation: str, wanted: Replay) -> None:
    """The same for a test run: of the same draft, on its own version. Raises TooManyTestsError."""
    with connection.transaction():
        drafts.check_room(connection, organisation)
        connection.execute(
            """INSERT INTO runs (id, draft_id, revision, version_id, pattern, status, trigger_kind, trigger, input,
                   actor, replay_of, replay_from, lease, due_at, created_at)
               SELECT %(id)s, r.draft_id, r.revision, r.version_id, r.pattern, 'pending', 'replay', r.trigger,
                   coalesce(%(input)s::json, r.input), %(actor)s, r.id, %(start)s, %(lease)s,
                   now() + %(ring)s * interval '1 second', clock_timestamp()
               FROM runs r WHERE r.id = %(of)s""",
            _arguments(wanted),
        )
        _copy_journal(connection, wanted)


def _insert(connection: Connection, wanted: Replay) -> bool:
    # Workers read the journal of a run that somebody had in hand before, which is what a lease above 0 says.
    live = wanted.version is not None
    source = "d.revision, d.version_id, d.pattern" if live else "r.revision, r.version_id, r.pattern"
    done = connection.execute(
        f"""INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger,
                input, actor, replay_of, replay_from, lease, due_at, created_at)
            SELECT %(id)s, d.id, {source}, 'pending', 'replay', r.trigger, coalesce(%(input)s::json, r.input),
                %(actor)s, r.id, %(start)s, %(lease)s, now() + %(ring)s * interval '1 second', now()
            FROM runs r JOIN deployments d ON d.id = r.deployment_id AND d.state = 'active'
            WHERE r.id = %(of)s AND (%(version)s::text IS NULL OR d.version_id = %(version)s)""".encode(),  # noqa: S608 - constants
        {**_arguments(wanted), "version": wanted.version},
    )
    return done.rowcount == 1


def _arguments(wanted: Replay) -> dict[str, Any]:
    return {
        "id": wanted.id,
        "of": wanted.of,
        "input": wanted.input,
        "actor": wanted.actor,
        "start": wanted.start,
        "lease": 1 if wanted.kept else 0,
        "ring": RING_AGAIN,
    }


def _copy_journal(connection: Connection, wanted: Replay) -> None:
    connection.execute(
        """INSERT INTO spans (run_id, run_attempt, path, status, attempt, started_at, ended_at, output, error, log,
               wake_at, child_run_id)
           SELECT %s, 1, k.new, status, attempt, started_at, ended_at, output, error, log, NULL, child_run_id
           FROM spans JOIN unnest(%s::text[], %s::text[]) AS k (old, new) ON k.old = path
           WHERE run_id = %s AND run_attempt = %s""",
        [wanted.id, list(wanted.kept), list(wanted.kept.values()), wanted.of, wanted.attempt],
    )
