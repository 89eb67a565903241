"""SQLAlchemy's engines, one for each connection that is in use: each with a small pool."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy.pool import NullPool, QueuePool

from runner.nodes.base import NodeError
from runner.nodes.databases.kind import DatabaseKind
from runner.nodes.databases.mysql import MySQL
from runner.nodes.databases.postgresql import PostgreSQL
from runner.nodes.databases.sqlite import SQLite
from runner.nodes.dialer import Dialer
from schemas.pattern import JSON

_MOST = 32  # engines
_CONNECTIONS = 4  # of one pool
_POOL_WAIT = 0.1  # seconds; who waits looks at its time limit in between
_RECYCLE = 1800  # seconds

_Key = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Database:
    """An engine with what it is of; `spec` and `allow` are what it was made from."""

    kind: DatabaseKind
    engine: sqlalchemy.Engine
    spec: Mapping[str, JSON]
    allow: tuple[str, ...]


class Engines:
    """For many threads; make it after forking. `folder` is where the files of SQLite are, None: nowhere."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._dialer = Dialer()
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, Database] = OrderedDict()  # by use, the longest unused first

    def get(self, spec: Mapping[str, JSON], allow: tuple[str, ...]) -> Database:
        """That of a connection as it is now. Those to what it was before close: at once, or when they are done."""
        key = (spec["organisation"], spec["environment"], spec["name"])
        with self._lock:
            found = self._kept.pop(key, None)
            if found is not None and (found.spec != spec or found.allow != allow):
                found.engine.dispose()
                found = None
            database = self._kept[key] = found or self._make(spec, allow)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)[1].engine.dispose()
        return database

    def close(self) -> None:
        with self._lock:
            for database in self._kept.values():
                database.engine.dispose()
            self._kept.clear()
        self._dialer.close()

    def _make(self, spec: Mapping[str, JSON], allow: tuple[str, ...]) -> Database:
        kind = self._kind(spec, allow)
        pool: dict[str, Any] = {"poolclass": NullPool}
        if kind.pooled:
            pool = {
                "poolclass": QueuePool,
                "pool_size": _CONNECTIONS,
                "max_overflow": 0,
                "pool_timeout": _POOL_WAIT,
                "pool_recycle": _RECYCLE,
                "pool_pre_ping": True,
            }
        if kind.dialect.startswith("postgresql"):
            pool["use_native_hstore"] = False  # it would be looked up in every new connection
        engine = sqlalchemy.create_engine(
            f"{kind.dialect}://", creator=kind.connect, hide_parameters=True, **pool
        )
        return Database(kind=kind, engine=engine, spec=spec, allow=allow)

    def _kind(self, spec: Mapping[str, JSON], allow: tuple[str, ...]) -> DatabaseKind:
        match spec["type"]:
            case "postgresql":
                return PostgreSQL.of(spec, allow, self._dialer)
            case "mysql":
                return MySQL.of(spec, allow, self._dialer)
        if self._folder is None:
            raise NodeError("wrong_connection_type", "This worker has no folder for SQLite.", retryable=False)
        return SQLite.of(spec, self._folder)
