"""Who moved which branch or tag."""

from __future__ import annotations

import re
from collections.abc import Mapping

from schemas.pattern import JSON
from store.database import Database
from store.ref_moves import RefMove, list_moves
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, limit, number
from web.api.resource import Call


def refs(text: str) -> tuple[str, ...]:
    """The branch or tag of a full name; of a short one, both."""
    if not text.isprintable() or not re.fullmatch(r"\S{1,255}", text):
        raise ValueError("it takes a branch or a tag, such as main or refs/tags/v1")
    return (text,) if text.startswith("refs/") else (f"refs/heads/{text}", f"refs/tags/{text}")


LIST_QUERY: Mapping[str, Parser] = {"ref": refs, "cursor": number(1, 9_999_999_999), "limit": limit}


class Moves:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list(self, call: Call) -> JSON:
        query, most = call.query, call.query["limit"] or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found = list_moves(
                connection, call.identity.organisation, query["ref"], query["cursor"], most + 1
            )
        following = str(found[most - 1].id) if len(found) > most else None
        return {"items": [_move_json(one) for one in found[:most]], "next": following}


def _move_json(move: RefMove) -> dict[str, JSON]:
    return {"ref": move.ref, "old": move.old, "new": move.new, "user": move.user, "at": rfc3339(move.at)}
