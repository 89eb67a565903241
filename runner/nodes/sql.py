"""`sql`: one statement, one transaction."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy
from sqlalchemy import exc

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.databases.engines import Database, Engines
from runner.nodes.databases.sqlite import is_locked
from runner.nodes.databases.values import rows_as_json
from runner.nodes.found import Found
from runner.nodes.interruption import Interruption, reason_of
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch
from schemas.connection import DATABASES, ConnectionType
from schemas.pattern import JSON

DEFAULT_ROWS = 1000
MOST_ROWS = 100_000
MOST_BYTES = 16 * 1024 * 1024
"""Of all rows together, roughly."""

_PORTION = 100  # rows that are read before their size is known
_LOCKED = 0.02  # seconds between two looks at a file that somebody else writes

_VERSIONS = {
    "postgresql": "SELECT split_part(version(), ' on ', 1) AS server,"
    " (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()) AS tls",
    "mysql": "SELECT version() AS server",
    "sqlite": "SELECT 'SQLite ' || sqlite_version() AS server, (SELECT count(*) FROM sqlite_master) AS read",
}

# Only what gives rows and does nothing else can be read row by row, in a cursor of the server.
_READS = re.compile(r"\s*(?:SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO|CALL)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SqlInputs:
    query: str
    params: Mapping[str, JSON]
    most_rows: int

    @classmethod
    def read(cls, inputs: JSON) -> SqlInputs:
        """From a node's evaluated `with`. Raises NodeError `bad_query`, which quotes no value."""
        params, most = inputs.get("params"), inputs.get("maxRows", DEFAULT_ROWS)
        if isinstance(params, list):
            params = {str(number): value for number, value in enumerate(params, 1)}
        if not isinstance(params or {}, dict):
            raise _bad("`params` must be a mapping or a list")
        if isinstance(most, bool) or not isinstance(most, int) or not 0 < most <= MOST_ROWS:
            raise _bad(f"`maxRows` must be a whole number from 1 to {MOST_ROWS}")
        return cls(query=inputs["query"], params=params or {}, most_rows=most)

    @classmethod
    def of(cls, query: str) -> SqlInputs:
        """A query without values."""
        return cls(query=query, params={}, most_rows=DEFAULT_ROWS)

    def statement(self) -> sqlalchemy.TextClause:
        """With a place for each of `params`, no more and no less."""
        clause = sqlalchemy.text(self.query)
        places = clause.compile().params.keys()
        missing, unused = sorted(places - self.params.keys()), sorted(self.params.keys() - places)
        if missing:
            raise _bad(f"the query has :{missing[0]}, but `params` has no value for it")
        if unused:
            raise _bad(f"`params` has {unused[0]!r:.80}, but the query has no :{unused[0]:.80}")
        return clause

    @property
    def streams(self) -> bool:
        return bool(_READS.match(self.query)) and not _WRITES.search(self.query)


class SqlNode:
    """Takes `{connection, query, params, maxRows}`, gives `{rows, rowCount}`.

    For any number of threads; make it after forking. `folder` is where the files of SQLite are.
    """

    def __init__(self, folder: Path | None) -> None:
        self._engines = Engines(folder)

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        read = SqlInputs.read(inputs)
        return self._asked(context, context.connections.get(str(inputs["connection"]), *DATABASES), read)

    def probe(self, context: NodeContext, name: str) -> Found:
        """One statement, of a transaction that reads."""
        spec = context.connections.get(name, *DATABASES)
        [row] = self._asked(context, spec, SqlInputs.of(_VERSIONS[spec["type"]]))["rows"]
        tls = row.get("tls")
        if spec["type"] == ConnectionType.MYSQL:
            rows = self._asked(context, spec, SqlInputs.of("SHOW SESSION STATUS LIKE 'Ssl_version'"))["rows"]
            tls = rows[0]["Value"] if rows else None
        url = urlsplit(spec["url"])
        address = f"{url.netloc.rpartition('@')[2]}{url.path}" if url.netloc else url.path.lstrip("/")
        return Found(address=address, server=row["server"], tls=tls or None)

    def close(self) -> None:
        self._engines.close()

    def _asked(self, context: NodeContext, spec: Mapping[str, JSON], read: SqlInputs) -> JSON:
        statement = read.statement()
        database = self._engines.get(spec, context.network)
        watch = Watch.start("no result", context.remaining(), context.cancelled)
        try:
            with watch.over():
                return _until_unlocked(database, watch, lambda: _perform(database, watch, read, statement))
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{spec['name']}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{spec['name']}: given up with its run", retryable=False) from None
        except NodeError as error:
            raise _told(error, spec["name"], read.params) from None


def _until_unlocked(database: Database, watch: Watch, perform: Any) -> JSON:
    """A file of SQLite is written by one at a time; the others wait, and nothing of theirs has happened."""
    while True:
        try:
            return perform()
        except exc.OperationalError as error:
            if not is_locked(error.orig):
                raise database.kind.fault(error.orig or error) from None
        time.sleep(min(_LOCKED, watch.left()))


def _perform(database: Database, watch: Watch, read: SqlInputs, statement: sqlalchemy.TextClause) -> JSON:
    with _connection(database, watch) as connection:
        driver: Any = connection.connection.driver_connection
        interruption = Interruption(watch, _Statement(database, driver))
        try:
            with interruption:
                output = _output(connection, database, watch, read, statement)
                if interruption.reason is None:
                    connection.commit()
        except RecursionError:
            raise NodeError("sql_error", "a value is nested too deeply to be read", retryable=False) from None
        except exc.DBAPIError as error:
            if interruption.reason is None and is_locked(error.orig):
                raise
            if interruption.reason is not None or error.connection_invalidated:
                connection.invalidate()
            raise interruption.reason or database.kind.fault(error.orig or error) from None
        if interruption.reason is not None:
            # Some servers call it a result when they are interrupted (MySQL: SLEEP).
            connection.invalidate()
            raise interruption.reason
        return output


def _output(
    connection: sqlalchemy.Connection,
    database: Database,
    watch: Watch,
    read: SqlInputs,
    statement: sqlalchemy.TextClause,
) -> JSON:
    """Everything but the commit."""
    database.kind.prepare(connection, watch.left(), read.most_rows + 1)
    given = {name: database.kind.parameter(value) for name, value in read.params.items()}
    streams = database.kind.streams and read.streams
    with connection.execution_options(stream_results=streams).execute(statement, given) as result:
        return _result(result, read.most_rows)


def _result(result: sqlalchemy.CursorResult[Any], most: int) -> JSON:
    if not result.returns_rows:
        return {"rows": [], "rowCount": max(result.rowcount, 0)}
    columns = list(result.keys())
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise NodeError(
            "bad_query",
            f"the result has two columns {twice!r:.80}",
            hint="Give one of them another name with AS.",
            retryable=False,
        )
    rows = _rows(result, most + 1)
    if len(rows) > most:
        raise NodeError(
            "too_many_rows",
            f"There are more than {most:,} rows; nothing was changed.",
            hint=f"Add a LIMIT to the query, or raise `maxRows` (at most {MOST_ROWS}).",
            retryable=False,
        )
    return {"rows": rows_as_json(columns, rows), "rowCount": len(rows)}


def _rows(result: sqlalchemy.CursorResult[Any], most: int) -> list[sqlalchemy.Row[Any]]:
    """Up to `most`, in portions that the size of those before decides: one row may be as large as thousands."""
    rows: list[sqlalchemy.Row[Any]] = []
    size, portion = 0, _PORTION
    while portion and (some := result.fetchmany(portion)):
        rows += some
        size += sum(_size(value) for row in some for value in row)
        if size > MOST_BYTES:
            raise NodeError(
                "output_too_large",
                f"{len(rows):,} rows have {size:,} bytes already; {MOST_BYTES:,} are allowed. Nothing was changed.",
                hint="Ask for less: fewer columns, fewer rows, or the start of a long text.",
                retryable=False,
            )
        portion = min(most - len(rows), _PORTION + MOST_BYTES * len(rows) // (size + 1))
    return rows


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | bytes | bytearray | memoryview) else 8


@contextmanager
def _connection(database: Database, watch: Watch) -> Iterator[sqlalchemy.Connection]:
    """One of the pool, or a new one; where all are in use, the first that is not."""
    while True:
        try:
            connection = database.engine.connect()
            break
        except exc.TimeoutError:
            watch.left()
        except exc.DBAPIError as error:
            raise reason_of(watch) or database.kind.fault(error.orig or error) from None
    with connection:
        yield connection


@dataclass(frozen=True, kw_only=False)
class _Statement:
    """The `Cut` of a statement."""

    database: Database
    driver: Any

    def interrupt(self) -> None:
        self.database.kind.interrupt(self.driver)

    def sever(self) -> None:
        self.database.kind.sever(self.driver)


def _bad(message: str) -> NodeError:
    hint = "Each `:name` of the query needs a value in `params`; write `\\:` where a colon is meant."
    return NodeError("bad_query", message, hint=hint, retryable=False)


def _told(error: NodeError, name: str, params: Mapping[str, JSON]) -> NodeError:
    """With the connection's name, and without the values: servers like to quote them."""
    message = error.message
    for key, value in params.items():
        text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
        if len(text) > 2:
            message = message.replace(text, f":{key}")
    return NodeError(
        error.type,
        f"{name}: {message}",
        hint=error.hint,
        retryable=error.retryable,
        retry_after=error.retry_after,
    )
