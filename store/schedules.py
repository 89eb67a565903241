"""Schedules that are live, and how far each has come: one row per schedule says who decides about its slots."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from schemas.pattern import JSON
from store.database import Connection
from store.notifications import Changed

_LOADING = 0x77746B72
"""Of the advisory lock of whoever brings the rows in line with what is live."""

SET_BACK = timedelta(seconds=1)
"""A clock that is so far behind what it was before has been set back."""


class TickerKey(NamedTuple):
    """`schedule` is the hash of what its slots follow from."""

    deployment_id: int
    schedule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduled:
    """A deployment and the schedules that it goes by, as written; none while it is not active.

    `since`: when it became what it is; `active_since`: from when on it has been active, whatever its revision.
    """

    deployment_id: int
    organisation: str
    name: str
    version_id: str | None
    schedules: Sequence[Mapping[str, JSON]]
    since: datetime
    active_since: datetime


class LiveTicker(NamedTuple):
    """A schedule that is live."""

    key: TickerKey
    since: datetime
    active_since: datetime


def scheduled(connection: Connection, changed: Collection[Changed] | None = None) -> list[Scheduled]:
    """Every active deployment with a schedule of its own or of its pattern; of `changed` all deployments."""
    sql = """
        SELECT d.id, d.organisation, d.name, d.version_id,
            CASE WHEN d.state <> 'active' THEN '[]'::json
                 ELSE coalesce(r.spec->'schedules', v.content->'spec'->'on'->'schedule', '[]'::json) END,
            r.at, coalesce((
                SELECT min(a.at) FROM revisions a WHERE a.deployment_id = d.id AND a.revision > coalesce((
                    SELECT max(n.revision) FROM revisions n
                    WHERE n.deployment_id = d.id AND n.state <> 'active'), 0)), r.at)
        FROM deployments d
        JOIN revisions r ON r.deployment_id = d.id AND r.revision = d.revision
        LEFT JOIN versions v ON v.id = d.version_id
        WHERE CASE WHEN %(all)s THEN d.state = 'active'
                  AND (r.spec->'schedules' IS NOT NULL OR v.content->'spec'->'on'->'schedule' IS NOT NULL)
              ELSE d.organisation || ' ' || d.name = ANY(%(named)s) OR d.organisation = ANY(%(whole)s) END
        ORDER BY d.id
    """
    named = [f"{one.organisation} {name}" for one in changed or () for name in one.names or ()]
    whole = [one.organisation for one in changed or () if one.names is None]
    rows = connection.execute(sql, {"all": changed is None, "named": named, "whole": whole})
    names = ("deployment_id", "organisation", "name", "version_id", "schedules", "since", "active_since")
    return [Scheduled(**dict(zip(names, row, strict=True))) for row in rows]


def nodes_of(connection: Connection, versions: Sequence[str]) -> dict[str, JSON]:
    """Version id → the list of its pattern's nodes, as written."""
    rows = connection.execute(
        "SELECT id, content->'spec'->'nodes' FROM versions WHERE id = ANY(%s)", [list(versions)]
    )
    return {row[0]: row[1] for row in rows}


def clock(connection: Connection) -> datetime:
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def settle(
    connection: Connection, live: Sequence[LiveTicker], deployments: Sequence[int] | None
) -> dict[TickerKey, datetime]:
    """Bring the rows of these deployments (None: of all) in line with what is live. Gives up to when each is done.

    One that is new begins when its deployment became what it is; one whose deployment was paused, when that ended.
    """
    keys = [[one.key.deployment_id for one in live], [one.key.schedule for one in live]]
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOADING])
        _turn_back(connection)
        connection.execute(
            """DELETE FROM tickers t WHERE (%(all)s OR t.deployment_id = ANY(%(deployments)s::bigint[]))
               AND NOT EXISTS (SELECT 1 FROM unnest(%(ids)s::bigint[], %(keys)s::text[]) AS n(id, key)
                               WHERE n.id = t.deployment_id AND n.key = t.schedule)""",
            {
                "all": deployments is None,
                "deployments": list(deployments or ()),
                "ids": keys[0],
                "keys": keys[1],
            },
        )
        connection.execute(
            """UPDATE tickers t SET upto = n.since
               FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS n(id, key, since)
               WHERE t.deployment_id = n.id AND t.schedule = n.key AND t.upto < n.since""",
            [*keys, [one.active_since for one in live]],
        )
        connection.execute(
            """INSERT INTO tickers (deployment_id, schedule, upto)
               SELECT id, key, since FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS n(id, key, since)
               ON CONFLICT DO NOTHING""",
            [*keys, [one.since for one in live]],
        )
        rows = connection.execute(
            """SELECT t.deployment_id, t.schedule, t.upto FROM unnest(%s::bigint[], %s::text[]) AS n(id, key)
               JOIN tickers t ON t.deployment_id = n.id AND t.schedule = n.key""",
            keys,
        )
        return {TickerKey(*row[:2]): row[2] for row in rows}


def _turn_back(connection: Connection) -> None:
    """The clock was set back: what it had only passed over is ahead again. What fired before, has."""
    connection.execute(
        """WITH ahead AS MATERIALIZED (
               SELECT t.deployment_id, t.schedule, c.now FROM tickers t, (SELECT clock_timestamp() AS now) AS c
               WHERE t.upto > c.now + %s),
           gone AS (
               DELETE FROM slots s USING ahead a
               WHERE s.deployment_id = a.deployment_id AND s.schedule = a.schedule AND s.refused = 'missed'
                   AND coalesce(s.last_at, s.at) > a.now
               RETURNING s.deployment_id, s.schedule, s.at)
           UPDATE tickers t SET upto = least(a.now, (
               SELECT min(g.at) - interval '1 microsecond' FROM gone g
               WHERE g.deployment_id = a.deployment_id AND g.schedule = a.schedule))
           FROM ahead a WHERE t.deployment_id = a.deployment_id AND t.schedule = a.schedule""",
        [SET_BACK],
    )


def hold(connection: Connection, keys: Sequence[TickerKey]) -> dict[TickerKey, datetime]:
    """Take those that nobody else holds, to the end of the transaction. Gives up to when each is done."""
    rows = connection.execute(
        """SELECT t.deployment_id, t.schedule, t.upto FROM tickers t
           JOIN unnest(%s::bigint[], %s::text[]) AS n(id, key) ON t.deployment_id = n.id AND t.schedule = n.key
           ORDER BY t.deployment_id, t.schedule FOR UPDATE OF t SKIP LOCKED""",
        [[key.deployment_id for key in keys], [key.schedule for key in keys]],
    )
    return {TickerKey(*row[:2]): row[2] for row in rows}


def advance(connection: Connection, upto: Mapping[TickerKey, datetime]) -> None:
    """All slots of these are decided up to then."""
    connection.execute(
        """UPDATE tickers t SET upto = n.upto
           FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[]) AS n(id, key, upto)
           WHERE t.deployment_id = n.id AND t.schedule = n.key""",
        [[key.deployment_id for key in upto], [key.schedule for key in upto], list(upto.values())],
    )


def without_ticker(connection: Connection, keys: Sequence[TickerKey]) -> list[TickerKey]:
    """Those of `keys` that are not live."""
    rows = connection.execute(
        """SELECT n.id, n.key FROM unnest(%s::bigint[], %s::text[]) AS n(id, key)
           WHERE NOT EXISTS (SELECT 1 FROM tickers t WHERE t.deployment_id = n.id AND t.schedule = n.key)""",
        [[key.deployment_id for key in keys], [key.schedule for key in keys]],
    )
    return [TickerKey(*row) for row in rows]
