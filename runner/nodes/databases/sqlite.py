"""SQLite: files below one folder of the installation, and nothing else of its disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import sqlalchemy

from runner.nodes.base import NodeError
from schemas.pattern import JSON

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of a text, of a blob, or of a row."""

# Of this file, and of this connection to it.
_PRAGMAS: Final = frozenset({
    "application_id", "collation_list", "compile_options", "data_version", "database_list",
    "defer_foreign_keys", "encoding", "foreign_key_check", "foreign_key_list", "foreign_keys",
    "freelist_count", "function_list", "index_info", "index_list", "index_xinfo", "integrity_check",
    "optimize", "page_count", "page_size", "quick_check", "read_uncommitted", "table_info", "table_list",
    "table_xinfo", "user_version",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SQLite:
    file: Path
    dialect: ClassVar[str] = "sqlite+pysqlite"
    streams: ClassVar[bool] = False  # rows come one by one by themselves
    pooled: ClassVar[bool] = False  # opening a file is cheap, and one that is open has locks

    @classmethod
    def of(cls, spec: Mapping[str, JSON], folder: Path) -> SQLite:
        """`folder` holds the files of all organisations, each in a folder of its own."""
        own = folder / spec["organisation"]
        file = own / spec["url"].removeprefix("sqlite:///")
        if not file.resolve().is_relative_to(own.resolve()):
            raise NodeError(
                "wrong_connection_type",
                f"{spec['url']} leads out of the folder of databases.",
                retryable=False,
            )
        return cls(file=file)

    def connect(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Transactions are the node's; so is waiting for a lock, since SQLite's own wait cannot be interrupted.
        connection = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST)
        connection.set_authorizer(_authorize)
        return connection

    def prepare(self, connection: sqlalchemy.Connection, seconds: float, rows: int) -> None:
        """The node's interruption is the limit."""
        connection.exec_driver_sql("BEGIN")

    def parameter(self, value: JSON) -> Any:
        """Lists and mappings go in as JSON text."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value

    def interrupt(self, driver: Any) -> None:
        driver.interrupt()

    def sever(self, driver: Any) -> None:
        driver.interrupt()

    def fault(self, error: BaseException) -> NodeError:
        return NodeError("sql_error", str(error), retryable=is_locked(error))


def is_locked(error: BaseException | None) -> bool:
    """Whether somebody else writes: the same statement works when they are done."""
    code = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _authorize(action: int, first: str | None, *_: object) -> int:
    """No other file: ATTACH (and with it VACUUM INTO) would reach everything that the worker may read.

    And nothing that holds for the whole process, as the limits of memory and the folder of temporary files do.
    """
    if action == sqlite3.SQLITE_ATTACH and first != "":
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (first or "").lower() not in _PRAGMAS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK
