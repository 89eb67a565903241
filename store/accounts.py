"""Who may do what: tokens, known by their hashes only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from store.database import Connection
from store.ids import new_id


class Token(NamedTuple):
    """`seconds` are those it is still good for by the database's clock; None: for ever."""

    hash: bytes
    organisation: str
    user: str
    role: str
    seconds: float | None


class TokenRow(NamedTuple):
    """What may be shown of a token. `expired` by the database's clock; it stays listed until it is deleted."""

    id: str
    user: str
    role: str
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    expired: bool


@dataclass(frozen=True, kw_only=True)
class NewToken:
    """`expires`: at a time, or so long from now by the database's clock; None: never."""

    organisation: str
    user: str
    role: str
    digest: bytes
    created_by: str
    expires: datetime | timedelta | None


_SHOWN = """id::text, user_name, role, created_at, created_by, expires_at,
    coalesce(expires_at <= now(), false)"""


def find_token(connection: Connection, digest: bytes) -> Token | None:
    """The token with this SHA-256, unless it has expired."""
    row = connection.execute(
        """SELECT hash, organisation, user_name, role, extract(epoch FROM expires_at - now())::float8 FROM tokens
           WHERE hash = %s AND (expires_at IS NULL OR expires_at > now())""",
        [digest],
    ).fetchone()
    return None if row is None else Token(*row)


def create_token(connection: Connection, token: NewToken) -> TokenRow | None:
    """Store it. None, and nothing is stored, when it would have expired already."""
    at = token.expires if isinstance(token.expires, datetime) else None
    within = token.expires if isinstance(token.expires, timedelta) else None
    row = connection.execute(
        f"""INSERT INTO tokens (id, organisation, user_name, role, hash, created_by, expires_at)
            SELECT %(id)s, %(organisation)s, %(user)s, %(role)s, %(digest)s, %(created_by)s, expires
            FROM (SELECT coalesce(%(at)s::timestamptz, now() + %(within)s::interval) AS expires) AS asked
            WHERE expires IS NULL OR expires > now()
            RETURNING {_SHOWN}""".encode(),  # noqa: S608 (a constant)
        {
            "id": new_id(),
            "organisation": token.organisation,
            "user": token.user,
            "role": token.role,
            "digest": token.digest,
            "created_by": token.created_by,
            "at": at,
            "within": within,
        },
    ).fetchone()
    return None if row is None else TokenRow(*row)


def list_tokens(connection: Connection, organisation: str, before: str | None, limit: int) -> list[TokenRow]:
    """Up to `limit` of an organisation's tokens with ids below `before`, the newest first."""
    rows = connection.execute(
        f"""SELECT {_SHOWN} FROM tokens
            WHERE organisation = %(organisation)s AND (%(before)s::uuid IS NULL OR id < %(before)s)
            ORDER BY id DESC LIMIT %(limit)s""".encode(),  # noqa: S608 (a constant)
        {"organisation": organisation, "before": before, "limit": limit},
    )
    return [TokenRow(*row) for row in rows]


def delete_token(connection: Connection, organisation: str, id_: str) -> tuple[TokenRow, bytes] | None:
    """Take it back. Gives what it was, and its hash; None where the organisation has no such token."""
    row = connection.execute(
        f"DELETE FROM tokens WHERE organisation = %s AND id = %s RETURNING {_SHOWN}, hash".encode(),  # noqa: S608
        [organisation, id_],
    ).fetchone()
    return None if row is None else (TokenRow(*row[:-1]), bytes(row[-1]))
