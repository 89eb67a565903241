"""The statements of the hot path, run by libpq itself.

psycopg finds out types, adapts values and waits in Python: of a statement over a few rows that is two thirds of
what the process spends. Here parameters and columns are text, and libpq waits without Python's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from store.database import Connection

Row = tuple[bytes | None, ...]


class Statement:
    """SQL in parts, with parameters `$1`, `$2`…, each with a cast. Prepared once per connection, as `name`."""

    def __init__(self, name: str, *sql: str) -> None:
        self.sql = "".join(sql)
        self._name = f"weft_{name}".encode()
        self._prepared: WeakSet[Connection] = WeakSet()

    def rows(self, connection: Connection, parameters: Sequence[str | None]) -> Iterator[Row]:
        """Raises psycopg.Error. Within a transaction of the connection's, or as one of its own."""
        values: Any = [None if value is None else _encoded(value) for value in parameters]
        idle = connection.pgconn.transaction_status == TransactionStatus.IDLE
        try:
            result = self._execute(connection, values)
        except psycopg.errors.InvalidSqlStatementName as error:
            # psycopg drops all prepared statements of a connection when a transaction is rolled back.
            self._prepared.discard(connection)
            if not idle:
                raise psycopg.OperationalError("the prepared statements were dropped: try again") from error
            result = self._execute(connection, values)
        return _rows(result)

    def rows_unprepared(self, connection: Connection, parameters: Sequence[str | None]) -> Iterator[Row]:
        """The same within a transaction, on a connection that others use as well: one of theirs, rolled back,
        took what was prepared with it, and this one would find that out too late.
        """
        values: Any = [None if value is None else _encoded(value) for value in parameters]
        return _rows(self._check(connection.pgconn, connection.pgconn.exec_params(self.sql.encode(), values)))

    def _execute(self, connection: Connection, values: Any) -> PGresult:
        pgconn = connection.pgconn
        if connection not in self._prepared:
            self._check(pgconn, pgconn.prepare(self._name, self.sql.encode()))
            self._prepared.add(connection)
        return self._check(pgconn, pgconn.exec_prepared(self._name, values))

    def _check(self, pgconn: PGconn, result: PGresult) -> PGresult:
        if result.status in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            return result
        if pgconn.status != psycopg.pq.ConnStatus.OK:
            raise psycopg.OperationalError(result.get_error_message())
        raise psycopg.errors.error_from_result(result)


def _rows(result: PGresult) -> Iterator[Row]:
    columns = range(result.nfields)
    return (tuple([result.get_value(row, at) for at in columns]) for row in range(result.ntuples))


def _encoded(value: str) -> bytes:
    if "\0" in value:  # libpq would take what stands before it
        raise psycopg.DataError("PostgreSQL's texts cannot hold U+0000")
    return value.encode()
