"""A connection of one's own that survives a restart of the database, for threads that live long."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

import psycopg

from store.database import Connection, Database, StoreRefused, StoreUnavailable, unavailable

Result = TypeVar("Result")

PAUSE = 0.1
"""Seconds between two attempts to reach a database that is away."""


class HotConnection:
    """Not for several threads at once: GroupCommit or a single thread calls it."""

    def __init__(self, database: Database, *, patience: float = 0.0) -> None:
        """`patience`: seconds for which a statement is tried again when the database is away. Only for
        statements that may be repeated.
        """
        self._database = database
        self._patience = patience
        self._connection: Connection | None = None

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Raises StoreUnavailable when the database stayed away, StoreRefused for what it will never take."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with unavailable():
                    return work(self._open())
            except StoreUnavailable:
                self.close()
                if time.monotonic() >= deadline:
                    raise
                time.sleep(PAUSE)
            except psycopg.DataError as error:
                raise StoreRefused(f"The database does not take it: {str(error).strip()}") from error

    def _open(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect()
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(psycopg.Error):
                self._connection.close()
            self._connection = None
