"""Calls of webhooks, as they came: those that started a run are in `runs`, the others here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Json

from schemas.pattern import JSON
from store.database import Connection

KEPT_DAYS = 7
"""Days that a call which started no run is kept."""

MOST = 10_000
"""Such calls of one deployment, the newest, that are kept."""

MOST_BYTES = 256 * 1024 * 1024
"""Bytes of them that are kept, as they are stored."""

LONGEST_SHOWN = 65_536
"""Characters of a trigger that a list shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """A call that started no run. `reason` is a slug, `status` what was answered. `request` is
    `{method, path, query, headers}`: the query as text, the headers as pairs, without what is secret.
    `body` as it came; None: it was not read, or is too much to keep. `run`: of a repeated call, the first one's.
    """

    id: str
    deployment_id: int
    at: float  # seconds since the epoch
    status: int
    reason: str
    detail: str
    address: str | None
    request: JSON
    body: bytes | None
    run: str | None = None
    more: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One call. One that started a run has its id, and `trigger` (JSON text; None where it is too large for a
    list); one that did not the rest. `size`: bytes of the body. `run`, of a repeated call: the first one's.
    """

    id: str
    deployment: str
    at: datetime
    run: str | None
    run_status: str | None
    trigger: str | None
    status: int
    reason: str | None
    detail: str | None
    address: str | None
    request: JSON
    body: bytes | None
    size: int | None
    more: int


_KEEP = b"""
INSERT INTO deliveries (id, deployment_id, at, status, reason, detail, address, request, body, run_id, more)
VALUES (%s, %s, to_timestamp(%s), %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO NOTHING
"""


def keep(connection: Connection, refused: Sequence[Refused]) -> None:
    rows = [
        (
            *(call.id, call.deployment_id, call.at, call.status, call.reason, call.detail, call.address),
            *(Json(call.request), call.body, call.run, call.more),
        )
        for call in refused
    ]
    with connection.cursor() as cursor:
        cursor.executemany(_KEEP, rows)


_REFUSED = """SELECT v.id::text, d.name, v.at, v.run_id::text, r.status, NULL::text, v.status, v.reason, v.detail,
        v.address, v.request, {body}, octet_length(v.body), v.more
    FROM deliveries v JOIN deployments d ON d.id = v.deployment_id LEFT JOIN runs r ON r.id = v.run_id"""

_ACCEPTED = """SELECT r.id::text, d.name, r.created_at, r.id::text, r.status, {trigger}, 202,
        NULL::text, NULL::text, NULL::text, NULL::json, NULL::bytea, NULL::integer, 0
    FROM runs r JOIN deployments d ON d.id = r.deployment_id"""

# Lists show how a call came, but no large body.
_BRIEF = {
    "body": "NULL::bytea",
    "trigger": f"CASE WHEN octet_length(r.trigger::text) <= {LONGEST_SHOWN} THEN r.trigger::text END",
}
_WHOLE = {"body": "v.body", "trigger": "r.trigger::text"}


def list_deliveries(
    connection: Connection, deployment_id: int, *, accepted: bool | None, before: str | None, limit: int
) -> list[Delivery]:
    """The newest first, with ids below `before`; large bodies are left out. `accepted` None: all."""
    given: dict[str, Any] = {"deployment": deployment_id, "before": before, "limit": limit}
    found: list[Delivery] = []
    if accepted is not True:
        where = """WHERE v.deployment_id = %(deployment)s AND (%(before)s::uuid IS NULL OR v.id < %(before)s)
            ORDER BY v.id DESC LIMIT %(limit)s"""
        found += _read(connection, f"{_REFUSED.format(**_BRIEF)} {where}", given)
    if accepted is not False:
        where = """WHERE r.deployment_id = %(deployment)s AND (%(before)s::uuid IS NULL OR r.id < %(before)s)
            AND r.trigger_kind = 'webhook' ORDER BY r.id DESC LIMIT %(limit)s"""
        found += _read(connection, f"{_ACCEPTED.format(**_BRIEF)} {where}", given)
    return sorted(found, key=lambda one: one.id, reverse=True)[:limit]


def find(connection: Connection, organisation: str, delivery: str) -> Delivery | None:
    """One, whole."""
    given = {"organisation": organisation, "id": delivery}
    whose = "WHERE d.organisation = %(organisation)s AND"
    found = _read(connection, f"{_REFUSED.format(**_WHOLE)} {whose} v.id = %(id)s", given) or _read(
        connection,
        f"{_ACCEPTED.format(**_WHOLE)} {whose} r.id = %(id)s AND r.trigger_kind = 'webhook'",
        given,
    )
    return found[0] if found else None


def forget_old(connection: Connection) -> None:
    """What is older than KEPT_DAYS, and of each deployment all but the newest MOST, and of these all but the newest
    MOST_BYTES.
    """
    connection.execute(
        "DELETE FROM deliveries WHERE at < clock_timestamp() - %s * interval '1 day'", [KEPT_DAYS]
    )
    connection.execute(
        """DELETE FROM deliveries v USING (
               SELECT d.id AS deployment, (SELECT o.id FROM deliveries o WHERE o.deployment_id = d.id
                   ORDER BY o.id DESC OFFSET %s LIMIT 1) AS last
               FROM (SELECT DISTINCT deployment_id AS id FROM deliveries) d) old
           WHERE v.deployment_id = old.deployment AND v.id <= old.last""",
        [MOST],
    )
    # Sizes as they are stored: no body is read for it.
    connection.execute(
        """DELETE FROM deliveries v USING (
               SELECT id, sum(pg_column_size(request) + coalesce(pg_column_size(body), 0))
                   OVER (PARTITION BY deployment_id ORDER BY id DESC) AS bytes
               FROM deliveries) sized
           WHERE v.id = sized.id AND sized.bytes > %s""",
        [MOST_BYTES],
    )


def _read(connection: Connection, sql: str, given: dict[str, Any]) -> list[Delivery]:
    names = (
        *("id", "deployment", "at", "run", "run_status", "trigger", "status", "reason", "detail", "address"),
        *("request", "body", "size", "more"),
    )
    return [Delivery(**dict(zip(names, row, strict=True))) for row in connection.execute(sql.encode(), given)]
