"""Pull requests at the forge that keeps the upstream, and how telling their plan goes."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.pattern import JSON
from store.database import Database
from store.forge import PullRequest, list_pull_requests
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, limit
from web.api.resource import Call

LIST_QUERY: Mapping[str, Parser] = {"limit": limit}


class Pulls:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, call: Call) -> JSON:
        """Those that changed last; there are no further pages."""
        most = call.query["limit"] or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found = list_pull_requests(connection, call.identity.organisation, most)
        return {"items": [_pull_json(one) for one in found]}


def _pull_json(pull: PullRequest) -> dict[str, JSON]:
    return {
        "forge": pull.forge,
        "repository": pull.repository,
        "number": pull.number,
        "state": pull.state,
        "head": pull.head,
        "base": pull.onto,
        "attempts": pull.attempts,
        "nextAttemptAt": None if pull.due_at is None else rfc3339(pull.due_at),
        "error": pull.error,
        "updatedAt": rfc3339(pull.updated_at),
    }
