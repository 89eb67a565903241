"""Writing what is live: deployments and their revisions, many at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.pattern import JSON
from store.database import DEPLOYMENTS_CHANGED, Connection
from store.deployments import Condition
from store.notifications import Changed


@dataclass(frozen=True, kw_only=True)
class RevisionRow:
    """What a new revision says beside what its deployment's row says."""

    commit: str
    author: str
    message: str
    actor: str | None


@dataclass(frozen=True, kw_only=True)
class DeploymentRow:
    """A deployment as it is from now on. `revision` None: nothing that a run sees has changed."""

    name: str
    pattern: str
    environment: str
    state: str
    version_id: str | None
    hook_token: str
    conditions: tuple[Condition, ...]
    tried_commit: str | None
    spec: Mapping[str, JSON] = field(default_factory=dict)
    metadata: Mapping[str, JSON] = field(default_factory=dict)
    revision: RevisionRow | None = None


def deployment_id(organisation: str, name: str) -> int:
    """A function of the name, so that runs find their deployment again when its row was lost and rebuilt."""
    digest = hashlib.sha256(f"{organisation}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1  # what a bigint holds


def write_deployments(connection: Connection, organisation: str, rows: Sequence[DeploymentRow]) -> None:
    """Bring these to what they say: two or three statements, however many there are."""
    if not rows:
        return
    written = connection.execute(
        """INSERT INTO deployments AS d (id, organisation, name, pattern, environment, state, version_id, revision,
               hook_token, conditions, tried_commit)
           SELECT id, %s, name, pattern, environment, state, version_id, revision, hook_token, conditions::json,
               tried_commit
           FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::integer[],
               %s::text[], %s::text[], %s::text[]) AS t (id, name, pattern, environment, state, version_id,
               revision, hook_token, conditions, tried_commit)
           ON CONFLICT (organisation, name) DO UPDATE SET pattern = excluded.pattern,
               environment = excluded.environment, state = excluded.state, version_id = excluded.version_id,
               revision = d.revision + excluded.revision, hook_token = excluded.hook_token,
               conditions = excluded.conditions, tried_commit = excluded.tried_commit, updated_at = now()
           RETURNING name, id, revision""",
        [
            organisation,
            [deployment_id(organisation, row.name) for row in rows],
            [row.name for row in rows],
            [row.pattern for row in rows],
            [row.environment for row in rows],
            [row.state for row in rows],
            [row.version_id for row in rows],
            [0 if row.revision is None else 1 for row in rows],
            [row.hook_token for row in rows],
            [json.dumps([condition._asdict() for condition in row.conditions]) for row in rows],
            [row.tried_commit for row in rows],
        ],
    )
    places = {name: (id_, revision) for name, id_, revision in written}
    _add_revisions(connection, [(places[row.name], row, row.revision) for row in rows if row.revision])
    _update_metadata(connection, [(places[row.name], row) for row in rows if not row.revision])
    settle_admission(connection, [places[row.name][0] for row in rows if row.revision])


def settle_admission(connection: Connection, ids: Sequence[int]) -> None:
    """What admission looks at, as the live revisions of these deployments have it. Something new is live: whatever
    failed before it says nothing of it, so that circuits are closed.
    """
    if not ids:
        return
    connection.execute(
        """UPDATE deployments d SET concurrency = r.spec -> 'concurrency', breaker = r.spec -> 'circuitBreaker',
               circuit_open = false,
               error_from = (SELECT array_agg(glob) FROM versions v, json_array_elements_text(
                   v.content -> 'spec' -> 'on' -> 'error' -> 'from') AS e (glob) WHERE v.id = d.version_id)
           FROM revisions r WHERE d.id = ANY(%s) AND r.deployment_id = d.id AND r.revision = d.revision""",
        [list(ids)],
    )
    connection.execute("DELETE FROM circuits WHERE deployment_id = ANY(%s)", [list(ids)])
    connection.execute("DELETE FROM error_triggers WHERE deployment_id = ANY(%s)", [list(ids)])


_Place = tuple[int, int]


def _add_revisions(connection: Connection, new: list[tuple[_Place, DeploymentRow, RevisionRow]]) -> None:
    if not new:
        return
    connection.execute(
        """INSERT INTO revisions (deployment_id, revision, state, version_id, spec, metadata, commit, author,
               message, actor)
           SELECT id, revision, state, version_id, spec::json, metadata::json, commit, author, message, actor
           FROM unnest(%s::bigint[], %s::integer[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
               %s::text[], %s::text[], %s::text[]) AS t (id, revision, state, version_id, spec, metadata, commit,
               author, message, actor)""",
        [
            [place[0] for place, _, _ in new],
            [place[1] for place, _, _ in new],
            [row.state for _, row, _ in new],
            [row.version_id for _, row, _ in new],
            [json.dumps(row.spec) for _, row, _ in new],
            [json.dumps(row.metadata) for _, row, _ in new],
            [revision.commit for _, _, revision in new],
            [revision.author for _, _, revision in new],
            [revision.message for _, _, revision in new],
            [revision.actor for _, _, revision in new],
        ],
    )


def _update_metadata(connection: Connection, same: list[tuple[_Place, DeploymentRow]]) -> None:
    if not same:
        return
    connection.execute(
        """UPDATE revisions r SET metadata = t.metadata::json
           FROM unnest(%s::bigint[], %s::integer[], %s::text[]) AS t (id, revision, metadata)
           WHERE r.deployment_id = t.id AND r.revision = t.revision AND r.metadata::text <> t.metadata""",
        [
            [id_ for (id_, _), _ in same],
            [rev for (_, rev), _ in same],
            [json.dumps(row.metadata) for _, row in same],
        ],
    )


def notify_deployments(connection: Connection, organisation: str, names: Sequence[str]) -> None:
    """Tell every process at commit that something else is live now: these deployments, or project settings."""
    payload = Changed(organisation, tuple(names)).payload
    connection.execute("SELECT pg_notify(%s, %s)", [DEPLOYMENTS_CHANGED, payload])
