"""What became of the slots of a deployment's schedules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from runner.ticking import said, schedule_key
from schemas.pattern import JSON
from store import slots
from store.database import Connection, Database
from store.deployments import Deployment
from store.slots import Reason, SlotFilter, SlotRow, SlotStatus
from web.api.deployments import find_deployment
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, instant, limit, one_of
from web.api.resource import Call
from web.api.schedules import deployment_schedules
from web.contents import Contents

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = re.compile(r"(-?[0-9]{1,18})-([0-9a-f]{1,64})")


def _cursor(text: str) -> tuple[datetime, str]:
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ValueError("it takes the `next` of the page before")
    try:
        return _EPOCH + timedelta(microseconds=int(found[1])), found[2]
    except OverflowError:
        raise ValueError("it takes the `next` of the page before") from None


LIST_QUERY: Mapping[str, Parser] = {
    "status": one_of(SlotStatus),
    "reason": one_of(Reason),
    "since": instant,
    "until": instant,
    "cursor": _cursor,
    "limit": limit,
}


class Slots:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    def list(self, call: Call) -> JSON:
        query = dict(call.query)
        cursor, most = query.pop("cursor"), query.pop("limit") or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found = find_deployment(connection, call)
            rows = slots.list_slots(connection, found.id, SlotFilter(**query), cursor, most + 1)
            known = self._known(connection, found)
        following = _next(rows[most - 1]) if len(rows) > most else None
        return {"items": [_slot_json(row, known) for row in rows[:most]], "next": following}

    def _known(self, connection: Connection, found: Deployment) -> Mapping[str, tuple[int, str]]:
        """Key → number and words of the schedules that the deployment has now."""
        if found.version is None:
            return {}
        content = self._contents.get(connection, found.version.version_id)
        listed = enumerate(deployment_schedules(found, content), 1)
        return {schedule_key(one): (number, said(one)) for number, one in listed}


def _next(row: SlotRow) -> str:
    return f"{(row.at - _EPOCH) // timedelta(microseconds=1)}-{row.schedule}"


def _slot_json(row: SlotRow, known: Mapping[str, tuple[int, str]]) -> dict[str, JSON]:
    number, words = known.get(row.schedule, (None, None))
    several = {"until": rfc3339(row.last_at), "count": row.count} if row.last_at else {}
    return {
        "at": rfc3339(row.at),
        **several,
        "schedule": words,
        "number": number,
        "status": row.status,
        "reason": row.reason,
        "runId": row.run_id,
        "runStatus": row.run_status,
    }
