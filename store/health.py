"""How the database does, for whoever has to look after it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from store.database import MINIMUM_SERVER, connect, migrations, scalar


@dataclass(frozen=True, kw_only=True)
class Health:
    server_version: int  # as PostgreSQL numbers it: 180004
    schema: int  # the number of the newest migration in the database; 0 for none
    newest_schema: int  # that this code knows
    now: datetime  # by the database's clock

    @property
    def server_is_new_enough(self) -> bool:
        return self.server_version >= MINIMUM_SERVER


def look(url: str) -> Health:
    """Raises psycopg.OperationalError when the database cannot be reached."""
    with connect(url) as connection:
        migrated = scalar(connection, "SELECT to_regclass('migrations') IS NOT NULL")
        return Health(
            server_version=connection.info.server_version,
            schema=scalar(connection, "SELECT coalesce(max(number), 0) FROM migrations") if migrated else 0,
            newest_schema=migrations()[-1][0],
            now=scalar(connection, "SELECT clock_timestamp()"),
        )
