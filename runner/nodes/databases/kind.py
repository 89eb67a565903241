"""What the `sql` node asks of each kind of database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import sqlalchemy

from runner.nodes.base import NodeError
from schemas.pattern import JSON


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a database server is, and who asks there."""

    host: str
    port: int
    database: str
    user: str | None
    password: str | None
    sslmode: str

    @classmethod
    def read(cls, spec: Mapping[str, JSON], port: int) -> Address:
        """From the `spec` of a connection that passed the checks."""
        parts = urlsplit(spec["url"])
        user, password = spec.get("user", parts.username), spec.get("password", parts.password)
        return cls(
            host=parts.hostname or "",
            port=parts.port or port,
            database=unquote(parts.path.lstrip("/")),
            user=unquote(user) if user == parts.username and user else user,
            password=unquote(password) if password and "password" not in spec else password,
            sslmode=parse_qs(parts.query).get("sslmode", ["prefer"])[0],
        )

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


class DatabaseKind(Protocol):
    """One database, as one connection has it. `dialect` is SQLAlchemy's name of it with the driver's.

    `streams`: rows have to be asked for in a cursor of the server, or all of them come at once.
    """

    dialect: ClassVar[str]
    pooled: ClassVar[bool]
    streams: ClassVar[bool]

    def connect(self) -> Any:
        """A new connection of the driver. Raises NodeError, and what the current `Watch` raises."""
        ...

    def prepare(self, connection: sqlalchemy.Connection, seconds: float, rows: int) -> None:
        """Have the server limit what comes next in this transaction, in time and, where it can, in rows."""
        ...

    def parameter(self, value: JSON) -> Any:
        """What the driver takes for a value of `params`."""
        ...

    def interrupt(self, driver: Any) -> None:
        """End the statement that another thread waits for. Raises nothing."""
        ...

    def sever(self, driver: Any) -> None:
        """Break the connection. Raises nothing."""
        ...

    def fault(self, error: BaseException) -> NodeError:
        """What an error of the driver means."""
        ...
