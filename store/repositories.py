"""What was tried and what is applied of each organisation's repository."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from schemas.pattern import JSON
from store.database import Connection

LOCK_SPACE = 0x67697400  # "git": the first key of the lock that pushes and reconcilers share


@dataclass(frozen=True, kw_only=True)
class RepositoryState:
    """`tried_commit` is the head that was looked at last, `applied_commit` the last one without problems.

    `problems` are those of `tried_commit`; `generation` counts what was applied.
    """

    organisation: str
    default_branch: str = "main"
    tried_commit: str | None = None
    tried_at: datetime | None = None
    applied_commit: str | None = None
    applied_at: datetime | None = None
    problems: Sequence[JSON] = ()
    project: Mapping[str, JSON] = field(default_factory=dict)
    refs_digest: str | None = None
    generation: int = 0


_COLUMNS = """organisation, default_branch, tried_commit, tried_at, applied_commit, applied_at, problems, project,
    refs_digest, generation"""


def lock_repository(connection: Connection, organisation: str) -> None:
    """Wait until nobody else pushes to or reconciles it. Held until unlocked, or until the connection ends."""
    connection.execute("SELECT pg_advisory_lock(%s, hashtext(%s))", [LOCK_SPACE, organisation])


def unlock_repository(connection: Connection, organisation: str) -> None:
    connection.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", [LOCK_SPACE, organisation])


def organisations(connection: Connection) -> list[str]:
    """Every organisation that something was ever applied of."""
    return [row[0] for row in connection.execute("SELECT organisation FROM repositories ORDER BY 1")]


def repository_state(connection: Connection, organisation: str) -> RepositoryState | None:
    """None for a repository that nothing was ever applied of."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM repositories WHERE organisation = %s".encode(),  # noqa: S608 (a constant)
        [organisation],
    ).fetchone()
    if row is None:
        return None
    names = [name.strip() for name in _COLUMNS.split(",")]
    return RepositoryState(**dict(zip(names, row, strict=True)))


def network_allowed(connection: Connection, organisation: str) -> tuple[str, ...]:
    """The private addresses that the project allows to be reached."""
    state = repository_state(connection, organisation)
    return () if state is None else tuple(state.project.get("network", {}).get("allow", ()))


def record_repository(connection: Connection, state: RepositoryState, *, applied: bool) -> int:
    """Write what was tried, and, when `applied`, that it is what is live. Gives the new generation."""
    row = connection.execute(
        """INSERT INTO repositories AS r (organisation, default_branch, tried_commit, tried_at, applied_commit,
               applied_at, problems, project, refs_digest, generation)
           VALUES (%(organisation)s, %(default_branch)s, %(tried)s, now(), CASE WHEN %(applied)s THEN %(tried)s END,
               CASE WHEN %(applied)s THEN now() END, %(problems)s::json, %(project)s::json, %(digest)s, 1)
           ON CONFLICT (organisation) DO UPDATE SET default_branch = excluded.default_branch,
               tried_commit = excluded.tried_commit, tried_at = excluded.tried_at,
               applied_commit = CASE WHEN %(applied)s THEN excluded.applied_commit ELSE r.applied_commit END,
               applied_at = CASE WHEN %(applied)s THEN excluded.applied_at ELSE r.applied_at END,
               problems = excluded.problems, project = excluded.project, refs_digest = excluded.refs_digest,
               generation = r.generation + 1
           RETURNING generation""",
        {
            "organisation": state.organisation,
            "default_branch": state.default_branch,
            "tried": state.tried_commit,
            "applied": applied,
            "problems": json.dumps(list(state.problems)),
            "project": json.dumps(state.project),
            "digest": state.refs_digest,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])
