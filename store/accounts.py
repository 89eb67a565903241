"""Who may do what: tokens, known by their hashes only."""

from __future__ import annotations

from typing import NamedTuple

from store.database import Connection


class Token(NamedTuple):
    """`seconds` are those it is still good for by the database's clock; None: for ever."""

    hash: bytes
    organisation: str
    user: str
    role: str
    seconds: float | None


def find_token(connection: Connection, digest: bytes) -> Token | None:
    """The token with this SHA-256, unless it has expired."""
    row = connection.execute(
        """SELECT hash, organisation, user_name, role, extract(epoch FROM expires_at - now())::float8 FROM tokens
           WHERE hash = %s AND (expires_at IS NULL OR expires_at > now())""",
        [digest],
    ).fetchone()
    return None if row is None else Token(*row)
