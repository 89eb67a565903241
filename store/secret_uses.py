"""Which node of which run was given which secret: written with the journal of the node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from store.database import Connection


class SecretUse(NamedTuple):
    """`path` is the node's in its pattern, `at` in seconds since the epoch."""

    organisation: str
    environment: str
    name: str
    path: str
    at: float


def record(connection: Connection, uses: Sequence[tuple[str, SecretUse]]) -> None:
    """With the runs' ids. What is recorded already stays as it is: the first use of a node of a run counts."""
    connection.execute(
        """INSERT INTO secret_uses (run_id, organisation, environment, name, path, at)
           SELECT run_id, organisation, environment, name, path, to_timestamp(at)
           FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::text[], %b::text[], %b::float8[])
               AS u(run_id, organisation, environment, name, path, at)
           ON CONFLICT DO NOTHING""",
        [[run for run, _ in uses], *(list(column) for column in zip(*(use for _, use in uses), strict=True))],
    )


@dataclass(frozen=True, kw_only=True)
class FoundUse:
    """`id` orders them. `deployment` None: a test run."""

    id: int
    environment: str
    run: str
    pattern: str
    deployment: str | None
    path: str
    at: datetime


def list_uses(
    connection: Connection,
    organisation: str,
    name: str,
    *,
    environment: str | None,
    before: int | None,
    limit: int,
) -> tuple[list[FoundUse], int | None]:
    """Up to `limit` uses of a secret, the newest first, and the cursor of the next page or None."""
    rows = connection.execute(
        """SELECT u.id, u.environment, u.run_id::text, r.pattern, d.name, u.path, u.at
           FROM secret_uses u JOIN runs r ON r.id = u.run_id LEFT JOIN deployments d ON d.id = r.deployment_id
           WHERE u.organisation = %(organisation)s AND u.name = %(name)s
             AND (%(environment)s::text IS NULL OR u.environment = %(environment)s)
             AND (%(before)s::bigint IS NULL OR u.id < %(before)s)
           ORDER BY u.id DESC LIMIT %(limit)s""",
        {
            "organisation": organisation,
            "name": name,
            "environment": environment,
            "before": before,
            "limit": limit + 1,
        },
        prepare=False,
    ).fetchall()
    fields = ("id", "environment", "run", "pattern", "deployment", "path", "at")
    found = [FoundUse(**dict(zip(fields, row, strict=True))) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


def used_by(connection: Connection, run: str) -> dict[str, list[str]]:
    """The names of the secrets that nodes of a run were given, by the path of the node in its pattern."""
    rows: Iterable[tuple[str, str]] = connection.execute(
        "SELECT path, name FROM secret_uses WHERE run_id = %s ORDER BY path, name", [run]
    )
    found: dict[str, list[str]] = {}
    for path, name in rows:
        found.setdefault(path, []).append(name)
    return found
