"""Drafts: what runs in test mode, and the runs of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.pattern import JSON
from store.database import Connection
from store.runs import RING_AGAIN

MOST_OPEN = 100
"""Test runs of one organisation that have not ended, at most; those that they called do not count."""


class TooManyTestsError(Exception):
    """As many test runs are under way as may be. Nothing was written."""


@dataclass(frozen=True, kw_only=True)
class NewTest:
    """A run `id` of a draft.

    `trigger` and `input` are JSON text. `stubs` are as they were written: node's path → stub. `commit` is the one
    that the draft was made from, None where there was none.
    """

    id: str
    organisation: str
    version_id: str
    pattern: str
    environment: str
    trigger: str
    variables: Mapping[str, JSON] = field(default_factory=dict)
    stubs: Mapping[str, JSON] = field(default_factory=dict)
    commit: str | None = None
    input: str | None = None
    actor: str | None = None


def start_test(connection: Connection, new: NewTest) -> None:
    """Make the run durable with its draft, within the caller's transaction. Raises TooManyTestsError."""
    check_room(connection, new.organisation)
    connection.execute(
        """WITH draft AS (
               INSERT INTO drafts (organisation, pattern, environment, variables, stubs, commit)
               VALUES (%(organisation)s, %(pattern)s, %(environment)s, %(variables)s::json, %(stubs)s::json,
                   %(commit)s) RETURNING id
           )
           INSERT INTO runs (id, draft_id, revision, version_id, pattern, status, trigger_kind, trigger, input,
               actor, due_at, created_at)
           SELECT %(id)s, id, 0, %(version)s, %(pattern)s, 'pending', 'manual', %(trigger)s::json, %(input)s::json,
               %(actor)s, now() + %(ring)s * interval '1 second', clock_timestamp()
           FROM draft""",
        {
            "id": new.id,
            "organisation": new.organisation,
            "environment": new.environment,
            "variables": json.dumps(new.variables),
            "stubs": json.dumps(new.stubs),
            "commit": new.commit,
            "version": new.version_id,
            "pattern": new.pattern,
            "trigger": new.trigger,
            "input": new.input,
            "actor": new.actor,
            "ring": RING_AGAIN,
        },
    )


def check_room(connection: Connection, organisation: str) -> None:
    """Whether one more test run may start, until the end of the transaction. Raises TooManyTestsError."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"weft test runs of {organisation}"]
    )
    row = connection.execute(
        """SELECT count(*) FROM runs r JOIN drafts t ON t.id = r.draft_id
           WHERE r.draft_id IS NOT NULL AND r.ended_at IS NULL AND r.parent_id IS NULL AND t.organisation = %s""",
        [organisation],
    ).fetchone()
    if row is None or row[0] >= MOST_OPEN:
        raise TooManyTestsError(organisation)
