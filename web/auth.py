"""Who asks, and what they may do."""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from reconciler.actor import Actor
from store.accounts import Token, find_token
from store.database import Database

CACHE_SECONDS = 5.0
"""For so long a token that was taken back may still be believed."""

CACHE_SIZE = 1024


class Role(StrEnum):
    """Each may do all that those before it may."""

    VIEWER = "viewer"  # reads
    EDITOR = "editor"  # and pushes
    OPERATOR = "operator"  # and starts, cancels and retries runs
    ADMIN = "admin"  # everything

    def includes(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, kw_only=True)
class Identity:
    organisation: str
    user: str
    role: Role

    @property
    def actor(self) -> Actor:
        """As whom the reconciler knows them."""
        return Actor(user=self.user, admin=self.role is Role.ADMIN)


ADMIN = Identity(organisation="default", user="admin", role=Role.ADMIN)
"""Whoever has the first token."""


class Authenticator:
    """Tokens are long and random, so one round of SHA-256 keeps them; none is held here in clear."""

    def __init__(self, database: Database, admin_token: str | None) -> None:
        self._database = database
        self._admin = None if admin_token is None else digest_of(admin_token)
        self._mutex = threading.Lock()
        self._known: dict[bytes, tuple[Identity, float]] = {}
        self._forgotten = 0

    def by_token(self, token: str) -> Identity | None:
        """None for a token that is unknown, taken back or expired. Raises StoreUnavailable."""
        digest = digest_of(token)
        if self._admin is not None and hmac.compare_digest(digest, self._admin):
            return ADMIN
        with self._mutex:
            known = self._known.get(digest)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        return self._look_up(digest)

    def forget(self, digest: bytes) -> None:
        """Believe a token no more that was taken back, from now on, whoever is looking it up meanwhile."""
        with self._mutex:
            self._forgotten += 1
            self._known.pop(digest, None)

    def _look_up(self, digest: bytes) -> Identity | None:
        forgotten = self._forgotten
        with self._database.connection() as connection:
            token = find_token(connection, digest)
        if token is None or not hmac.compare_digest(token.hash, digest):
            with self._mutex:
                self._known.pop(digest, None)
            return None
        identity = Identity(organisation=token.organisation, user=token.user, role=Role(token.role))
        self._keep(token, identity, forgotten)
        return identity

    def _keep(self, token: Token, identity: Identity, forgotten: int) -> None:
        """Unless a token was taken back since it was read: it may be this one."""
        good_for = CACHE_SECONDS if token.seconds is None else min(CACHE_SECONDS, token.seconds)
        with self._mutex:
            if self._forgotten != forgotten:
                return
            if len(self._known) >= CACHE_SIZE:
                self._known.clear()
            self._known[bytes(token.hash)] = (identity, time.monotonic() + good_for)


def digest_of(token: str) -> bytes:
    """How a token is stored: its SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
