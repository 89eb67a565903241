"""PostgreSQL, through psycopg."""

from __future__ import annotations

import contextlib
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import psycopg
import sqlalchemy
from psycopg.types.json import Jsonb

from runner.nodes.base import NodeError
from runner.nodes.databases.kind import Address
from runner.nodes.dialer import Dialer
from runner.nodes.interruption import shut
from runner.nodes.watched import Watch
from schemas.pattern import JSON

_CANCEL = 1.0  # seconds
_RETRYABLE: Final = re.compile(r"40001|40P01|55P03|53\w{3}")
_LOST: Final = re.compile(r"08\w{3}|57P0[1-5]")
_FOR_GOOD: Final = re.compile(
    r"authentication failed|does not exist|no pg_hba\.conf entry|no password supplied"
)
# What a statement left in its session is none of the next one's: settings, a role, locks, temporary tables.
_ANEW: Final = (
    "RESET SESSION AUTHORIZATION; RESET ALL; SELECT pg_advisory_unlock_all(); DISCARD TEMP; CLOSE ALL;"
    " UNLISTEN *"
)
_TLS: Final = re.compile(r"\bSSL\b|certificate", re.IGNORECASE)


class _ServerCursor(psycopg.ServerCursor[Any]):
    def __del__(self, *_: Any) -> None:
        """Without psycopg's warning: SQLAlchemy leaves open what a lost connection had open."""


@dataclass(frozen=True, kw_only=True)
class PostgreSQL:
    address: Address
    allow: tuple[str, ...]
    dialer: Dialer
    dialect: ClassVar[str] = "postgresql+psycopg"
    pooled: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    @classmethod
    def of(cls, spec: Mapping[str, JSON], allow: tuple[str, ...], dialer: Dialer) -> PostgreSQL:
        return cls(address=Address.read(spec, 5432), allow=allow, dialer=dialer)

    def connect(self) -> psycopg.Connection[Any]:
        address = self.address
        # To the very address that was checked; the name is for TLS.
        pinned = self.dialer.reachable(address.host, address.port, self.allow)
        given: dict[str, Any] = {"user": address.user, **_trust(address.sslmode)}
        try:
            driver: psycopg.Connection[Any] = psycopg.connect(
                host=address.host,
                hostaddr=pinned,
                port=address.port,
                dbname=address.database,
                password=address.password or "",  # None: the worker's own, of PGPASSWORD
                options="",  # as PGOPTIONS
                sslmode=address.sslmode,
                connect_timeout=max(2, int(min(10.0, Watch.current().left()))),
                passfile="/dev/null",  # the worker's own is none of the project's business
                gssencmode="disable",
                application_name="weft",
                keepalives_idle=30,
                tcp_user_timeout=15_000,
                prepare_threshold=None,  # poolers that give each transaction another server know no statements
                **{key: value for key, value in given.items() if value is not None},
            )
        except psycopg.Error as error:
            raise _not_connected(address, error) from None
        driver.server_cursor_factory = _ServerCursor
        return driver

    def prepare(self, connection: sqlalchemy.Connection, seconds: float, rows: int) -> None:
        connection.exec_driver_sql(f"{_ANEW}; SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")

    def parameter(self, value: JSON) -> Any:
        """A list of plain values is an array, every other list and every mapping is JSON."""
        if isinstance(value, dict):
            return Jsonb(value)
        if isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
            return Jsonb(value)
        return value

    def interrupt(self, driver: Any) -> None:
        with contextlib.suppress(psycopg.Error, OSError):
            driver.cancel_safe(timeout=_CANCEL)

    def sever(self, driver: Any) -> None:
        with contextlib.suppress(psycopg.Error):
            shut(driver.fileno())

    def fault(self, error: BaseException) -> NodeError:
        if not isinstance(error, psycopg.Error):
            return NodeError("sql_error", str(error), retryable=False)
        state = error.sqlstate or ""
        if not state and isinstance(error, psycopg.OperationalError):
            return NodeError("connection", f"{self.address}: the connection was lost")
        message = error.diag.message_primary or str(error)
        if _LOST.fullmatch(state):
            return NodeError("connection", f"{self.address}: {message}")
        if state == "57014" and "statement timeout" in message:
            return NodeError("timeout", f"{self.address}: {message}")
        hint = error.diag.message_hint or ""
        text = f"{message} (SQLSTATE {state})" if state else message
        return NodeError("sql_error", text, hint=hint, retryable=bool(_RETRYABLE.fullmatch(state)))


def _trust(sslmode: str) -> dict[str, str | None]:
    """libpq's own default is a file of the user's home; here the same authorities are trusted as elsewhere."""
    return (
        {"sslrootcert": ssl.get_default_verify_paths().cafile or "system"} if sslmode == "verify-full" else {}
    )


def _not_connected(address: Address, error: psycopg.Error) -> NodeError:
    message = " ".join(str(error).split())
    if _FOR_GOOD.search(message):
        return NodeError(
            "sql_error", message, hint="Check the user, the password and the database.", retryable=False
        )
    if _TLS.search(message):
        return NodeError("tls", f"{address}: {message}", retryable=False)
    return NodeError("connection", f"{address}: {message}")
