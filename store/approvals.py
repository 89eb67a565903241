"""What the `approve` nodes of a run ask for."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.pattern import JSON
from store.database import Connection


@dataclass(frozen=True, kw_only=True)
class Asked:
    """An `approve` node that waits. `asks` is `{message, approvers, count, notRequester, form, approvedBy}`."""

    path: str
    asks: JSON


def asked(connection: Connection, run: str) -> list[Asked]:
    """The approvals that a run waits for, in the order in which they were asked for."""
    rows = connection.execute(
        """SELECT s.path, s.output FROM spans s JOIN runs r ON r.id = s.run_id AND r.attempt = s.run_attempt
           WHERE s.run_id = %s AND s.status = 'waiting' AND s.child_run_id IS NULL AND s.error IS NULL
                 AND s.output IS NOT NULL ORDER BY s.started_at, s.path""",
        [run],
    )
    return [Asked(path=path, asks=output) for path, output in rows if "approvedBy" in output]


def requester(connection: Connection, run: str) -> str | None:
    """Who started the run, or the one that it was called for; None: nobody in person."""
    row = connection.execute(
        "SELECT root.actor FROM runs r JOIN runs root ON root.id = coalesce(r.root_id, r.id) WHERE r.id = %s",
        [run],
    ).fetchone()
    return None if row is None else row[0]


def groups(connection: Connection, organisation: str) -> dict[str, list[str]]:
    """The project's groups: users by the group's name."""
    row = connection.execute(
        "SELECT project FROM repositories WHERE organisation = %s", [organisation]
    ).fetchone()
    return {} if row is None else dict(row[0].get("groups", {}))
