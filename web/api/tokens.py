"""Tokens: each belongs to a user and a role, and is shown once, when it is made."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from schemas.pattern import JSON
from schemas.people import is_user_name
from schemas.quantities import seconds
from store.accounts import NewToken, TokenRow, create_token, delete_token, list_tokens
from store.database import Database
from store.run_reads import is_run_id
from web.api.encoding import rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, instant, limit, one_of, run_id, wrong
from web.api.resource import Call
from web.auth import Authenticator, Role, digest_of
from web.problems import Refusal, not_found

LIST_QUERY: Mapping[str, Parser] = {"cursor": run_id, "limit": limit}
NEW_BODY = ("user", "role", "expires")

PREFIX = "weft_"
"""So that a token that was put where all can see it is known for what it is."""


def user_name(text: str) -> str:
    if not is_user_name(text):
        raise ValueError(
            "a name has letters and digits, with single . _ @ + - between them, at most 64 characters; "
            "it does not end in .lock"
        )
    return text


def expiry(text: str) -> datetime | timedelta:
    """A time, or a duration from now on."""
    try:
        return timedelta(seconds=seconds(text))
    except ValueError:
        pass
    try:
        return instant(text)
    except ValueError:
        raise ValueError(
            "it takes a duration such as 30d, or an RFC 3339 time such as 2027-03-01T09:30:00Z"
        ) from None


class Tokens:
    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator

    def create(self, call: Call) -> JSON:
        asked = _asked(call.body)
        token = PREFIX + secrets.token_urlsafe(32)
        new = NewToken(
            organisation=call.identity.organisation,
            user=asked["user"],
            role=asked["role"],
            digest=digest_of(token),
            created_by=call.identity.user,
            expires=asked["expires"],
        )
        with self._database.connection() as connection:
            made = create_token(connection, new)
        if made is None:
            raise _wrong({"expires": "this has passed already"})
        return {**_token_json(made), "token": token}

    def list(self, call: Call) -> JSON:
        most = call.query["limit"] or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found = list_tokens(connection, call.identity.organisation, call.query["cursor"], most + 1)
        following = found[most - 1].id if len(found) > most else None
        return {"items": [_token_json(one) for one in found[:most]], "next": following}

    def delete(self, call: Call) -> JSON:
        """What it was. From now on it opens nothing here, and nothing elsewhere within seconds."""
        id_ = call.path["id"].lower()
        deleted = None
        if is_run_id(id_):
            with self._database.connection() as connection:
                deleted = delete_token(connection, call.identity.organisation, id_)
        if deleted is None:
            # Without what was sent: it may have been the token itself.
            raise not_found("There is no token with this id. `weft token list` shows their ids.")
        row, digest = deleted
        self._authenticator.forget(digest)
        return _token_json(row)


def _asked(body: Mapping[str, JSON]) -> dict[str, Any]:
    parsers: Mapping[str, Parser] = {"user": user_name, "role": one_of(Role), "expires": expiry}
    asked: dict[str, Any] = {"expires": None}
    problems: dict[str, str] = {}
    for key, parse in parsers.items():
        value = body.get(key)
        if value is None:
            if key != "expires":
                problems[key] = "it is missing"
            continue
        try:
            asked[key] = parse(_text(value))
        except ValueError as error:
            problems[key] = str(error)
    if problems:
        raise _wrong(problems)
    return asked


def _text(value: JSON) -> str:
    if not isinstance(value, str):
        raise ValueError("it takes text")  # noqa: TRY004 (told like all that is wrong with a value)
    return value


def _wrong(problems: Mapping[str, str]) -> Refusal:
    return wrong("keys of the body", [{"path": path, "message": said} for path, said in problems.items()])


def _token_json(token: TokenRow) -> dict[str, JSON]:
    return {
        "id": token.id,
        "user": token.user,
        "role": token.role,
        "createdAt": rfc3339(token.created_at),
        "createdBy": token.created_by,
        "expiresAt": rfc3339(token.expires_at),
        "expired": token.expired,
    }
