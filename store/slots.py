"""Slots of schedules: one row per schedule and instant decides who fires, and says what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from store.admission import Answer
from store.database import Connection
from store.schedules import TickerKey


class Reason(StrEnum):
    """Why a slot started nothing."""

    MISSED = "missed"  # nobody was there to fire it, and its `catchUp` does not make up for it
    OVERLAP = "overlap"  # a run of the same schedule had not ended
    CONCURRENCY = "concurrency"  # as many runs were at work as the deployment allows
    CIRCUIT_OPEN = "circuit_open"  # too many runs had ended badly
    CLOSED = "closed"  # the deployment was no longer active, or the schedule no longer its own
    GAP = "dst_gap"  # the clock skips it, and `dst` says not to fire then


REFUSED = {
    Answer.FULL: Reason.CONCURRENCY,
    Answer.CIRCUIT_OPEN: Reason.CIRCUIT_OPEN,
    Answer.CLOSED: Reason.CLOSED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSlot:
    """A decision. Of one that fires, `run_id`; of one that does not, `reason`; with neither it waits.

    `last_at` and `count` where it stands for several.
    """

    key: TickerKey
    at: datetime
    run_id: str | None = None
    reason: Reason | None = None
    last_at: datetime | None = None
    count: int | None = None
    open: bool = False


class OpenSlot(NamedTuple):
    """Of a schedule whose runs may not overlap. `run_id` None: it waits."""

    at: datetime
    run_id: str | None
    cancelled: bool


def add(connection: Connection, new: Sequence[NewSlot]) -> set[tuple[TickerKey, datetime]]:
    """Write decisions down. Gives those that nobody had taken before."""
    rows = connection.execute(
        """INSERT INTO slots (deployment_id, schedule, at, run_id, refused, last_at, count, open)
           SELECT * FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::uuid[], %s::text[],
                                %s::timestamptz[], %s::integer[], %s::boolean[])
           ON CONFLICT DO NOTHING RETURNING deployment_id, schedule, at""",
        [
            [one.key.deployment_id for one in new],
            [one.key.schedule for one in new],
            [one.at for one in new],
            [one.run_id for one in new],
            [one.reason for one in new],
            [one.last_at for one in new],
            [one.count for one in new],
            [one.open for one in new],
        ],
    )
    return {(TickerKey(*row[:2]), row[2]) for row in rows}


def settle(connection: Connection, decided: Sequence[NewSlot]) -> None:
    """Rows that were there already become what is said of them: a run was refused, or one that waited begins."""
    connection.execute(
        """UPDATE slots s SET run_id = n.run, refused = n.reason, open = n.open
           FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::uuid[], %s::text[], %s::boolean[])
               AS n(id, key, at, run, reason, open)
           WHERE s.deployment_id = n.id AND s.schedule = n.key AND s.at = n.at""",
        [
            [one.key.deployment_id for one in decided],
            [one.key.schedule for one in decided],
            [one.at for one in decided],
            [one.run_id for one in decided],
            [one.reason for one in decided],
            [one.open for one in decided],
        ],
    )


def open_slots(connection: Connection, keys: Iterable[TickerKey]) -> dict[TickerKey, list[OpenSlot]]:
    """What is at work or waits of these schedules, the oldest first. What has ended is no longer open."""
    keys = list(keys)
    asked = [[key.deployment_id for key in keys], [key.schedule for key in keys]]
    connection.execute(
        """UPDATE slots s SET open = false FROM unnest(%s::bigint[], %s::text[]) AS n(id, key)
           WHERE s.deployment_id = n.id AND s.schedule = n.key AND s.open AND s.run_id IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = s.run_id AND r.ended_at IS NULL)""",
        asked,
    )
    rows = connection.execute(
        """SELECT s.deployment_id, s.schedule, s.at, s.run_id::text, coalesce(r.cancelled, false)
           FROM unnest(%s::bigint[], %s::text[]) AS n(id, key)
           JOIN slots s ON s.deployment_id = n.id AND s.schedule = n.key AND s.open
           LEFT JOIN runs r ON r.id = s.run_id ORDER BY s.at""",
        asked,
    )
    found: dict[TickerKey, list[OpenSlot]] = {key: [] for key in keys}
    for row in rows:
        found[TickerKey(*row[:2])].append(OpenSlot(*row[2:]))
    return found


def waiting(connection: Connection) -> list[TickerKey]:
    """The schedules of which slots wait for the run before them to end."""
    rows = connection.execute(
        "SELECT DISTINCT deployment_id, schedule FROM slots WHERE open AND run_id IS NULL"
    )
    return [TickerKey(*row) for row in rows]


def forget(connection: Connection, before: Sequence[tuple[TickerKey, datetime]]) -> None:
    """Rows of these schedules that are older, but those whose runs may still be at work."""
    connection.execute(
        """DELETE FROM slots s USING unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS n(id, key, before)
           WHERE s.deployment_id = n.id AND s.schedule = n.key AND s.at < n.before
               AND coalesce(s.last_at, s.at) < n.before AND NOT s.open""",
        [
            [key.deployment_id for key, _ in before],
            [key.schedule for key, _ in before],
            [at for _, at in before],
        ],
    )


def forget_gone(connection: Connection, before: datetime) -> None:
    """Older rows of schedules that are not live."""
    connection.execute(
        """DELETE FROM slots s WHERE coalesce(s.last_at, s.at) < %s AND NOT s.open AND NOT EXISTS (
               SELECT 1 FROM tickers t WHERE t.deployment_id = s.deployment_id AND t.schedule = s.schedule)""",
        [before],
    )


class SlotStatus(StrEnum):
    FIRED = "fired"  # it started a run
    SKIPPED = "skipped"  # it started none, for a reason
    WAITING = "waiting"  # it starts one when the run before it has ended


_STATUS = (
    "CASE WHEN run_id IS NOT NULL THEN 'fired' WHEN refused IS NOT NULL THEN 'skipped' ELSE 'waiting' END"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotFilter:
    """None: any. `since` and `until` are the first and the last instant."""

    status: str | None = None
    reason: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotRow:
    """`schedule` is its key. `last_at` and `count` where the row stands for several slots."""

    schedule: str
    at: datetime
    status: SlotStatus
    run_id: str | None
    reason: str | None
    last_at: datetime | None
    count: int | None
    run_status: str | None


def list_slots(
    connection: Connection,
    deployment_id: int,
    filters: SlotFilter,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[SlotRow]:
    """Up to `limit` slots behind `before`, the latest first."""
    arguments: dict[str, Any] = {
        "id": deployment_id,
        "status": filters.status,
        "reason": filters.reason,
        "since": filters.since,
        "until": filters.until,
        "at": before and before[0],
        "schedule": before and before[1],
        "limit": limit,
    }
    rows = connection.execute(
        f"""SELECT s.schedule, s.at, s.status, s.run_id::text, s.refused, s.last_at, s.count, r.status
            FROM (SELECT *, {_STATUS} AS status FROM slots WHERE deployment_id = %(id)s) AS s
            LEFT JOIN runs r ON r.id = s.run_id
            WHERE (%(at)s::timestamptz IS NULL OR (s.at, s.schedule) < (%(at)s, %(schedule)s))
                AND (%(status)s::text IS NULL OR s.status = %(status)s)
                AND (%(reason)s::text IS NULL OR s.refused = %(reason)s)
                AND (%(since)s::timestamptz IS NULL OR coalesce(s.last_at, s.at) >= %(since)s)
                AND (%(until)s::timestamptz IS NULL OR s.at <= %(until)s)
            ORDER BY s.at DESC, s.schedule DESC LIMIT %(limit)s""".encode(),  # noqa: S608 - a constant of ours
        arguments,
        prepare=False,
    )
    names = ("schedule", "at", "status", "run_id", "reason", "last_at", "count", "run_status")
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [SlotRow(**{**row, "status": SlotStatus(row["status"])}) for row in found]


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """A slot that started nothing."""

    at: datetime
    reason: str


def last_skipped(connection: Connection, deployment_id: int) -> Skipped | None:
    """The latest slot of a deployment's schedules that started nothing, of those that are remembered."""
    row = connection.execute(
        """SELECT coalesce(last_at, at), refused FROM slots WHERE deployment_id = %s AND refused IS NOT NULL
           ORDER BY at DESC LIMIT 1""",
        [deployment_id],
    ).fetchone()
    return None if row is None else Skipped(at=row[0], reason=row[1])
