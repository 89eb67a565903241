"""The inbox of runs that used up their attempts or took workers with them, until somebody settles them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from store.database import Connection


class LetterState(StrEnum):
    OPEN = "open"  # in the inbox
    RETRIED = "retried"  # `retried_as` is the run that it became
    DISCARDED = "discarded"


@dataclass(frozen=True, kw_only=True)
class LetterFilter:
    """Which dead letters; None: all. `since` is part of the time, `until` is not; both are of the run's end."""

    deployment: str | None = None
    pattern: str | None = None
    error: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: LetterState = LetterState.OPEN


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """`id` is the run's. `error` is JSON text. `settled_by` is whoever retried or discarded it."""

    id: str
    deployment: str
    pattern: str
    version_id: str
    number: int | None
    trigger: str
    attempt: int
    error: str | None
    parent_id: str | None
    created_at: datetime
    at: datetime
    state: LetterState
    settled_at: datetime | None
    settled_by: str | None
    retried_as: str | None


def add(connection: Connection, runs: Sequence[str]) -> None:
    """Put those of these runs that ended as dead letters into the inbox, within the transaction that ended them.

    Of test runs none: whoever started one looks at it.
    """
    rows = connection.execute(
        """SELECT id, deployment_id, pattern, error FROM runs
           WHERE id = ANY(%s::uuid[]) AND status = 'dead_letter' AND deployment_id IS NOT NULL""",
        [list(runs)],
    ).fetchall()
    for run, deployment_id, pattern, error in rows:
        # Not by `error ->> 'type'`: PostgreSQL reads no JSON that has U+0000 in it, and the run would never end.
        type_ = str((error or {}).get("type", "unknown")).replace("\0", "\ufffd")
        connection.execute(
            """INSERT INTO dead_letters (run_id, deployment_id, pattern, error_type) VALUES (%s, %s, %s, %s)
               ON CONFLICT DO NOTHING""",
            [run, deployment_id, pattern, type_],
        )


_FIELDS = (
    "id", "deployment", "pattern", "version_id", "number", "trigger", "attempt", "error", "parent_id",
    "created_at", "at", "state", "settled_at", "settled_by", "retried_as",
)  # fmt: skip

_LETTER = """SELECT l.run_id::text, d.name, l.pattern, r.version_id, f.number, r.trigger_kind, r.attempt,
        r.error::text, r.parent_id::text, r.created_at, l.at, l.state, l.settled_at, l.settled_by,
        l.retried_as::text
    FROM dead_letters l
    JOIN runs r ON r.id = l.run_id
    JOIN deployments d ON d.id = l.deployment_id
    LEFT JOIN freezes f ON f.organisation = d.organisation AND f.version_id = r.version_id"""

_MATCHES = """d.organisation = %(organisation)s AND l.state = %(state)s
    AND (%(deployment)s::text IS NULL OR d.name = %(deployment)s)
    AND (%(pattern)s::text IS NULL OR l.pattern = %(pattern)s)
    AND (%(error)s::text IS NULL OR l.error_type = %(error)s)
    AND (%(since)s::timestamptz IS NULL OR l.at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR l.at < %(until)s)"""


def list_letters(
    connection: Connection, organisation: str, filters: LetterFilter, before: str | None, limit: int
) -> tuple[list[DeadLetter], str | None]:
    """Up to `limit` with ids below `before`, the newest run first, and the cursor of the next page or None."""
    rows = connection.execute(
        f"""{_LETTER} WHERE {_MATCHES} AND (%(before)s::uuid IS NULL OR l.run_id < %(before)s::uuid)
            ORDER BY l.run_id DESC LIMIT %(limit)s""".encode(),
        {**_arguments(organisation, filters), "before": before, "limit": limit + 1},
        prepare=False,
    ).fetchall()
    found = [_letter(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


def get_letter(connection: Connection, organisation: str, run: str) -> DeadLetter | None:
    """One of the organisation, settled or not."""
    row = connection.execute(
        f"{_LETTER} WHERE l.run_id = %s AND d.organisation = %s".encode(), [run, organisation]
    ).fetchone()
    return None if row is None else _letter(row)


def matching(
    connection: Connection, organisation: str, filters: LetterFilter, after: str | None, limit: int
) -> tuple[list[str], int]:
    """The first `limit` runs with ids above `after`, the oldest first, and how many more match behind them."""
    rows = connection.execute(
        f"""SELECT l.run_id::text, count(*) OVER () FROM dead_letters l JOIN deployments d ON d.id = l.deployment_id
            WHERE {_MATCHES} AND (%(after)s::uuid IS NULL OR l.run_id > %(after)s::uuid)
            ORDER BY l.run_id LIMIT %(limit)s""".encode(),  # noqa: S608 - constants
        {**_arguments(organisation, filters), "after": after, "limit": limit},
        prepare=False,
    ).fetchall()
    return [run for run, _ in rows], (rows[0][1] - len(rows)) if rows else 0


def discard(connection: Connection, runs: Sequence[str], user: str) -> list[str]:
    """Take open ones out of the inbox for good; who and when is kept. Gives those that were open."""
    rows = connection.execute(
        """UPDATE dead_letters SET state = 'discarded', settled_at = clock_timestamp(), settled_by = %s
           WHERE run_id = ANY(%s::uuid[]) AND state = 'open' RETURNING run_id::text""",
        [user, list(runs)],
    )
    return sorted(row[0] for row in rows)


def mark_retried(connection: Connection, run: str, became: str, user: str | None) -> bool:
    """An open one leaves the inbox as `became`. False: it is not open, or never was in there."""
    done = connection.execute(
        """UPDATE dead_letters
           SET state = 'retried', settled_at = clock_timestamp(), settled_by = %s, retried_as = %s
           WHERE run_id = %s AND state = 'open'""",
        [user, became, run],
    )
    return done.rowcount == 1


def _arguments(organisation: str, filters: LetterFilter) -> dict[str, Any]:
    return {
        "organisation": organisation,
        "deployment": filters.deployment,
        "pattern": filters.pattern,
        "error": filters.error,
        "since": filters.since,
        "until": filters.until,
        "state": filters.state,
    }


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    fields = dict(zip(_FIELDS, row, strict=True))
    return DeadLetter(**fields | {"state": LetterState(fields["state"])})
