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
MOST = 10_000
"""Calls of one deployment that are kept, the newest."""


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
    """One call. `trigger` is JSON text, of a call that started a run; the rest of one that did not."""

    id: str
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


_REFUSED = """SELECT v.id::text, v.at, v.run_id::text, r.status, NULL::text, v.status, v.reason, v.detail,
        v.address, v.request, v.body, v.more
    FROM deliveries v LEFT JOIN runs r ON r.id = v.run_id"""

_ACCEPTED = """SELECT r.id::text, r.created_at, r.id::text, r.status, r.trigger::text, 202, NULL::text, NULL::text,
        NULL::text, NULL::json, NULL::bytea, 0
    FROM runs r"""


def list_deliveries(
    connection: Connection, deployment_id: int, *, accepted: bool | None, before: str | None, limit: int
) -> list[Delivery]:
    """The newest first, with ids below `before`. `accepted` None: all."""
    given: dict[str, Any] = {"deployment": deployment_id, "before": before, "limit": limit}
    found: list[Delivery] = []
    if accepted is not True:
        found += _read(
            connection,
            f"""{_REFUSED} WHERE v.deployment_id = %(deployment)s
                AND (%(before)s::uuid IS NULL OR v.id < %(before)s)
                ORDER BY v.id DESC LIMIT %(limit)s""",
            given,
        )
    if accepted is not False:
        found += _read(
            connection,
            f"""{_ACCEPTED} WHERE r.deployment_id = %(deployment)s
                AND (%(before)s::uuid IS NULL OR r.id < %(before)s)
                AND r.trigger_kind = 'webhook' ORDER BY r.id DESC LIMIT %(limit)s""",
            given,
        )
    return sorted(found, key=lambda one: one.id, reverse=True)[:limit]


def find(connection: Connection, organisation: str, delivery: str) -> tuple[str, Delivery] | None:
    """One, with its deployment's name."""
    for sql, row in ((_REFUSED, "v"), (_ACCEPTED, "r")):
        kind = "" if row == "v" else "AND r.trigger_kind = 'webhook'"
        found = _read(
            connection,
            f"""{sql} JOIN deployments d ON d.id = {row}.deployment_id AND d.organisation = %(organisation)s
                WHERE {row}.id = %(id)s {kind}""",
            {"organisation": organisation, "id": delivery},
        )
        if found:
            name = connection.execute(
                """SELECT name FROM deployments WHERE id = coalesce(
                       (SELECT deployment_id FROM deliveries WHERE id = %(id)s),
                       (SELECT deployment_id FROM runs WHERE id = %(id)s))""",
                {"id": delivery},
            ).fetchone()
            assert name is not None, "rows of deployments stay"
            return str(name[0]), found[0]
    return None


def forget_old(connection: Connection) -> None:
    """What is older than KEPT_DAYS, and of each deployment all but the newest MOST."""
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


def _read(connection: Connection, sql: str, given: dict[str, Any]) -> list[Delivery]:
    names = (
        *("id", "at", "run", "run_status", "trigger", "status", "reason", "detail", "address"),
        *("request", "body", "more"),
    )
    return [Delivery(**dict(zip(names, row, strict=True))) for row in connection.execute(sql.encode(), given)]
