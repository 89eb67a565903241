"""What surrounds a run: its version's content, its deployment's revision or its draft, the project's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from schemas.pattern import JSON
from store.database import Connection


class Ground(NamedTuple):
    """What a run stands on: a deployment's `revision`, or a draft; and its version. None of them ever changes."""

    deployment_id: int | None
    revision: int
    version_id: str
    draft_id: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """`content` is the version's: `pattern`, `spec`, `assets` (path → asset id), `calls` (key → version id).

    `stubs` are a draft's: node's path → what stands in place of it. A draft is called by its pattern's name.
    """

    organisation: str
    deployment: str
    spec: Mapping[str, JSON]
    content: Mapping[str, JSON]
    number: int | None
    commit: str | None
    project: Mapping[str, JSON]
    stubs: Mapping[str, JSON] = field(default_factory=dict)


_NAMES = ("organisation", "deployment", "spec", "content", "number", "commit", "project")


def surroundings(connection: Connection, ground: Ground) -> Surroundings:
    """Raises LookupError."""
    if ground.draft_id is not None:
        return _of_draft(connection, ground.draft_id, ground.version_id)
    sql = """
        SELECT d.organisation, d.name, r.spec, v.content, f.number, f.commit, coalesce(p.project, '{}')
        FROM deployments d
        JOIN revisions r ON r.deployment_id = d.id AND r.revision = %s
        JOIN versions v ON v.id = %s
        LEFT JOIN freezes f ON f.organisation = d.organisation AND f.version_id = v.id
        LEFT JOIN repositories p ON p.organisation = d.organisation
        WHERE d.id = %s
    """
    row = connection.execute(sql, [ground.revision, ground.version_id, ground.deployment_id]).fetchone()
    if row is None:
        raise LookupError(str(ground))
    return Surroundings(**dict(zip(_NAMES, row, strict=True)))


def _of_draft(connection: Connection, draft_id: int, version_id: str) -> Surroundings:
    """The project's rules are those that are live: a draft of them opens nothing."""
    sql = """
        SELECT t.organisation, t.pattern, t.environment, t.variables, v.content, f.number,
               coalesce(f.commit, t.commit), coalesce(p.project, '{}'), t.stubs
        FROM drafts t
        JOIN versions v ON v.id = %s
        LEFT JOIN freezes f ON f.organisation = t.organisation AND f.version_id = v.id
        LEFT JOIN repositories p ON p.organisation = t.organisation
        WHERE t.id = %s
    """
    row = connection.execute(sql, [version_id, draft_id]).fetchone()
    if row is None:
        raise LookupError(f"draft {draft_id}, version {version_id}")
    organisation, pattern, environment, variables, *others = row
    spec = {"pattern": pattern, "environment": environment, "variables": variables}
    return Surroundings(
        organisation=organisation,
        deployment=pattern,
        spec=spec,
        **dict(zip(("content", "number", "commit", "project", "stubs"), others, strict=True)),
    )


def closed_callee(connection: Connection, organisation: str, pattern: str, environment: str) -> str | None:
    """Why `pattern` may not be called in `environment`: the paused or archived deployment, or None."""
    sql = """
        SELECT name, state FROM deployments
        WHERE organisation = %s AND pattern = %s AND environment = %s AND state <> 'undeployed'
        ORDER BY state = 'active' DESC, name LIMIT 1
    """
    row = connection.execute(sql, [organisation, pattern, environment]).fetchone()
    return None if row is None or row[1] == "active" else f"the deployment {row[0]} of it is {row[1]}"
