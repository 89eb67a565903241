"""How the mirror of a repository that is kept elsewhere does."""

from __future__ import annotations

from schemas.pattern import JSON
from store.database import Database
from store.upstream import Apart, UpstreamState, upstream_state
from web.api.encoding import rfc3339
from web.api.resource import Call
from web.problems import not_found


class Upstream:
    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            found = upstream_state(connection, call.identity.organisation)
        if found is None:
            raise not_found(
                "This repository mirrors no other, or has not looked at it yet: `weft up --upstream URL` names one."
            )
        return _state_json(found)


def _state_json(state: UpstreamState) -> dict[str, JSON]:
    return {
        "url": state.url,
        "lastLookAt": rfc3339(state.looked_at),
        "lastSyncAt": rfc3339(state.synced_at),
        "failingSince": rfc3339(state.failing_since),
        "lastError": state.look.error,
        "diverged": [_apart_json(one) for one in state.look.apart],
        "skipped": [{"ref": one.ref, "reason": one.reason} for one in state.look.skipped],
    }


def _apart_json(one: Apart) -> dict[str, JSON]:
    return {
        "ref": one.ref,
        "here": one.here,
        "there": one.there,
        "reason": one.reason,
        "resolve": list(one.resolve),
    }
