"""Which nodes of which runs used a secret."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.pattern import JSON
from schemas.secret_text import NAME
from store import secret_uses
from store.database import Database
from store.secret_uses import FoundUse
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, label, limit, number
from web.api.resource import Call
from web.problems import not_found

LIST_QUERY: Mapping[str, Parser] = {"environment": label, "cursor": number(1, 9_999_999_999), "limit": limit}


class SecretUses:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, call: Call) -> JSON:
        """The newest first. Of a secret that is not there any more, too; of one that never was, none."""
        query, name = call.query, call.path["name"]
        if not NAME.fullmatch(name):
            raise not_found(f"No secret can be called {name!r:.120}.")
        with self._database.connection() as connection:
            found, following = secret_uses.list_uses(
                connection,
                call.identity.organisation,
                name,
                environment=query["environment"],
                before=query["cursor"],
                limit=query["limit"] or DEFAULT_LIMIT,
            )
        return {
            "items": [_use_json(use) for use in found],
            "next": None if following is None else str(following),
        }


def _use_json(use: FoundUse) -> JSON:
    return {
        "run": use.run,
        "node": use.path,
        "pattern": use.pattern,
        "deployment": use.deployment,
        "environment": use.environment,
        "at": rfc3339(use.at),
    }
