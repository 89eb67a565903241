"""What surrounds a run: its version's content, its deployment's revision, the project's rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.pattern import JSON
from store.database import Connection


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """`content` is the version's: `pattern`, `spec`, `assets` (path → asset id), `calls` (key → version id)."""

    organisation: str
    deployment: str
    spec: Mapping[str, JSON]
    content: Mapping[str, JSON]
    number: int | None
    commit: str | None
    project: Mapping[str, JSON]


def surroundings(connection: Connection, deployment_id: int, revision: int, version_id: str) -> Surroundings:
    sql = """
        SELECT d.organisation, d.name, r.spec, v.content, f.number, f.commit, coalesce(p.project, '{}')
        FROM deployments d
        JOIN revisions r ON r.deployment_id = d.id AND r.revision = %s
        JOIN versions v ON v.id = %s
        LEFT JOIN freezes f ON f.organisation = d.organisation AND f.version_id = v.id
        LEFT JOIN repositories p ON p.organisation = d.organisation
        WHERE d.id = %s
    """
    row = connection.execute(sql, [revision, version_id, deployment_id]).fetchone()
    if row is None:
        raise LookupError(f"deployment {deployment_id}, revision {revision}, version {version_id}")
    names = ("organisation", "deployment", "spec", "content", "number", "commit", "project")
    return Surroundings(**dict(zip(names, row, strict=True)))


def closed_callee(connection: Connection, organisation: str, pattern: str, environment: str) -> str | None:
    """Why `pattern` may not be called in `environment`: the paused or archived deployment, or None."""
    sql = """
        SELECT name, state FROM deployments
        WHERE organisation = %s AND pattern = %s AND environment = %s AND state <> 'undeployed'
        ORDER BY state = 'active' DESC, name LIMIT 1
    """
    row = connection.execute(sql, [organisation, pattern, environment]).fetchone()
    return None if row is None or row[1] == "active" else f"the deployment {row[0]} of it is {row[1]}"
