"""What listened to errors and started no run: counted by reason, where whoever looks at the deployment sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from schemas.pattern import JSON
from schemas.times import timestamp
from store.database import Connection
from store.error_chains import Ended, PassedOver

KEPT = timedelta(hours=24)
"""After so long without another, it is counted from the beginning, and not shown any more."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """That of one deployment, locked until the end of the transaction; `now` is the database's time."""

    deployment_id: int
    counted: Mapping[str, Mapping[str, JSON]]
    now: datetime


def hold(connection: Connection, deployment_id: int) -> Ledger:
    """Whoever decides about the error runs of a deployment does so one after the other."""
    connection.execute(
        "INSERT INTO error_triggers (deployment_id) VALUES (%s) ON CONFLICT DO NOTHING", [deployment_id]
    )
    row = connection.execute(
        "SELECT passed_over, clock_timestamp() FROM error_triggers WHERE deployment_id = %s FOR UPDATE",
        [deployment_id],
    ).fetchone()
    assert row is not None, "it was just made"
    return Ledger(deployment_id=deployment_id, counted=row[0], now=row[1])


def note(connection: Connection, ledger: Ledger, passed: Iterable[tuple[PassedOver, Ended]]) -> None:
    counted = dict(ledger.counted)
    for reason, ended in passed:
        counted[reason] = _one_more(counted.get(reason), ended, ledger.now)
    if counted != ledger.counted:
        connection.execute(
            "UPDATE error_triggers SET passed_over = %s WHERE deployment_id = %s",
            [Jsonb(counted), ledger.deployment_id],
        )


def recent(counted: Mapping[str, Mapping[str, JSON]] | None, now: datetime) -> dict[str, Mapping[str, JSON]]:
    """Those of the last day: reason → `count`, `firstAt`, `lastAt`, `run` (the last one) and its `pattern`."""
    return {
        reason: one
        for reason, one in (counted or {}).items()
        if datetime.fromisoformat(one["lastAt"]) > now - KEPT
    }


def _one_more(before: Mapping[str, JSON] | None, ended: Ended, now: datetime) -> Mapping[str, JSON]:
    at = timestamp(now.timestamp())
    if before is None or datetime.fromisoformat(before["lastAt"]) <= now - KEPT:
        before = {"count": 0, "firstAt": at}
    return {**before, "count": before["count"] + 1, "lastAt": at, "run": ended.id, "pattern": ended.pattern}
