"""Asking for a look at the upstream now, whichever process keeps the mirror."""

from __future__ import annotations

from store.database import UPSTREAM_ASKED, Connection


def ask_for_sync(connection: Connection, organisation: str) -> None:
    """The controller looks at the organisation's upstream as soon as this is committed. Harmless without one."""
    connection.execute("SELECT pg_notify(%s, %s)", [UPSTREAM_ASKED, organisation])
