"""The door to PostgreSQL: connections, transactions, migrations, notifications."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import orjson
import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import set_json_loads
from psycopg_pool import ConnectionPool

Connection = psycopg.Connection[TupleRow]

MINIMUM_SERVER = 140000
MIGRATION_LOCK = 0x57656674  # "Weft"

DEPLOYMENTS_CHANGED = "weft_deployments"  # payload: see store.notifications.Changed
RUN_CANCELLED = "weft_cancelled"  # payload: run id
RUN_WOKEN = "weft_woken"  # payload: run id
RUN_WATCHED = "weft_watched"  # payload: run ids, with spaces between
RUN_TOLD = "weft_told"  # payload: run ids, with spaces between
RUN_ANSWERED = "weft_answered"  # payload: see store.answers
TIMER_SET = "weft_timers"  # payload: empty
UPSTREAM_ASKED = "weft_upstream"  # payload: organisation
REFS_MOVED = "weft_refs"  # payload: organisation
TURN_TAKEN = "weft_turns"  # payload: tokens of turns, with spaces between
FORGE_EVENT = "weft_forge"  # payload: empty
SECRETS_CHANGED = "weft_secrets"  # payload: organisation
BACKFILLS_CHANGED = "weft_backfills"  # payload: empty


class StoreError(Exception):
    """The database cannot serve: the message says what to do."""


class StoreUnavailable(StoreError):
    """The database does not answer, or the connection broke: it may be back in a moment."""


class StoreRefused(StoreError):
    """The database does not take what is to be written, and never will."""


class Database:
    """A pool of connections to one database. Make it after forking: it owns threads."""

    def __init__(self, url: str, *, connections: int = 8) -> None:
        self.url = url
        self._pool = ConnectionPool(
            url,
            min_size=1,
            max_size=connections,
            kwargs={"autocommit": True, "prepare_threshold": 2, "client_encoding": "utf8"},
            check=ConnectionPool.check_connection,
            configure=_configure,
            timeout=10.0,
            open=False,
        )
        self._pool.open()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A pooled connection; every statement is its own transaction."""
        with unavailable(), self._pool.connection() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        with unavailable(), self._pool.connection() as connection, connection.transaction():
            yield connection

    def connect(self) -> Connection:
        """A connection of the caller's own for the statements of the hot path, which find rows by key only.

        A plan made while a table is empty would scan it, be kept, and go on scanning when it is full.
        """
        connection = connect(self.url)
        for method in ("enable_seqscan", "enable_mergejoin", "jit"):
            connection.execute(f"SET {method} = off".encode())
        connection.execute("SET plan_cache_mode = force_generic_plan")
        return connection

    def close(self) -> None:
        self._pool.close()


@contextmanager
def unavailable() -> Iterator[None]:
    """Translates what says that the database is away (PoolTimeout is an OperationalError, too) or that it cannot
    do its work: a file that does not grow, a standby that takes no writes.
    """
    try:
        yield
    except (psycopg.OperationalError, psycopg.InternalError) as error:
        reason = str(error).strip() or type(error).__name__
        raise StoreUnavailable(f"The database does not answer: {reason}") from error


def connect(url: str) -> Connection:
    connection = psycopg.connect(url, autocommit=True, prepare_threshold=2, client_encoding="utf8")
    _configure(connection)
    return connection


def _configure(connection: Connection) -> None:
    set_json_loads(orjson.loads, connection)


def migrations() -> list[tuple[int, str]]:
    """(number, SQL) of every migration, in order."""
    files = (f for f in resources.files("store.migrations").iterdir() if f.name.endswith(".sql"))
    return sorted((int(f.name.split("_")[0]), f.read_text()) for f in files)


def migrate(url: str) -> int:
    """Bring the schema up to date, once, under a lock, forwards only. Gives the schema's number.

    Raises StoreError for a server that is too old or a schema newer than this code.
    """
    with connect(url) as connection:
        if connection.info.server_version < MINIMUM_SERVER:
            raise StoreError(
                f"PostgreSQL {connection.info.server_version // 10000} is too old: Weft needs 14 or newer."
            )
        connection.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            return _migrate(connection)
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _migrate(connection: Connection) -> int:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (number integer PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
    )
    done = schema_number(connection)
    known = migrations()
    if done > known[-1][0]:
        raise StoreError(
            f"The database has schema {done}, this Weft knows {known[-1][0]}:"
            " start the newer Weft that migrated it."
        )
    for number, sql in known:
        if number > done:
            with connection.transaction():
                connection.execute(sql.encode())
                connection.execute("INSERT INTO migrations (number) VALUES (%s)", [number])
    return known[-1][0]


def schema_number(connection: Connection) -> int:
    return int(scalar(connection, "SELECT coalesce(max(number), 0) FROM migrations"))


def scalar(connection: Connection, sql: str, arguments: list[Any] | None = None) -> Any:
    """The first column of the first row, or None without rows."""
    row = connection.execute(sql.encode(), arguments).fetchone()
    return None if row is None else row[0]
