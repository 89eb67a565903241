"""MySQL and MariaDB, through PyMySQL."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import pymysql
import sqlalchemy
from pymysql.constants import CR

from runner.nodes.base import NodeError
from runner.nodes.databases.kind import Address
from runner.nodes.dialer import Dialer
from runner.nodes.interruption import Interruption, Severing, shut
from runner.nodes.watched import DeadlinePassedError, Watch
from schemas.pattern import JSON

_CONNECT = 10.0  # seconds
_KILL = 1.0  # seconds
_DEADLOCKS: Final = frozenset({1205, 1213})
_LOST: Final = frozenset({1040, 1053, 1077, 1079, 1080, 1927, 2002, 2003, 2006, 2013, 2055, 4031})
_TIMED_OUT: Final = frozenset({1969, 3024})


@dataclass(frozen=True, kw_only=True)
class MySQL:
    address: Address
    allow: tuple[str, ...]
    dialer: Dialer
    dialect: ClassVar[str] = "mysql+pymysql"
    pooled: ClassVar[bool] = True
    streams: ClassVar[bool] = False  # its cursors read to the end when they are closed

    @classmethod
    def of(cls, spec: Mapping[str, JSON], allow: tuple[str, ...], dialer: Dialer) -> MySQL:
        return cls(address=Address.read(spec, 3306), allow=allow, dialer=dialer)

    def connect(self) -> Any:
        address = self.address
        watch = Watch.current().at_most(_CONNECT, "no connection")
        reached = self.dialer.connect(address.host, address.port, self.allow)
        driver = pymysql.connect(
            host=address.host,  # the name is for TLS: the socket goes to the address that was checked
            port=address.port,
            user=address.user,
            password=address.password or "",
            database=address.database,
            defer_connect=True,
            **_tls(address.sslmode),
        )
        with Severing(reached) as cut, Interruption(watch, cut) as interruption:
            try:
                driver.connect(sock=reached)
            except (pymysql.Error, OSError) as error:
                raise interruption.reason or self._not_connected(error) from None
            except (
                RuntimeError
            ) as error:  # it would send the password in the clear, or lacks a package to hide it
                message = f"{address}: the server asks for the password in a way that needs TLS"
                hint = "Leave `?sslmode=disable` out, or give the server a certificate."
                raise NodeError("tls", message, hint=hint, retryable=False) from error
        return driver

    def prepare(self, connection: sqlalchemy.Connection, seconds: float, rows: int) -> None:
        """MariaDB takes seconds and limits every statement, MySQL milliseconds and only those that read.

        The number of rows is that of a SELECT without a LIMIT of its own.
        """
        if connection.dialect.is_mariadb:  # type: ignore[attr-defined]
            limit = f"max_statement_time = {max(0.001, seconds):.3f}"
        else:
            limit = f"max_execution_time = {max(1, int(seconds * 1000))}"
        connection.exec_driver_sql(f"SET SESSION {limit}, sql_select_limit = {rows}")

    def parameter(self, value: JSON) -> Any:
        """Lists and mappings go in as JSON text."""
        return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value

    def interrupt(self, driver: Any) -> None:
        """KILL QUERY, through a connection of its own."""
        watch = Watch.start("no connection", _KILL, threading.Event())
        with contextlib.suppress(NodeError, DeadlinePassedError, pymysql.Error, OSError), watch.over():
            killer = self.connect()
            try:
                killer.query(f"KILL QUERY {int(driver.thread_id()):d}")
            finally:
                killer.close()

    def sever(self, driver: Any) -> None:
        connection = driver._sock  # there is no public way, and none that another thread may go
        if connection is not None:
            shut(connection.fileno())

    def fault(self, error: BaseException) -> NodeError:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        message = str(error.args[-1]) if error.args else str(error)
        if code in _LOST or isinstance(error, pymysql.InterfaceError):
            return NodeError("connection", f"{self.address}: {message}")
        if code in _TIMED_OUT:
            return NodeError("timeout", f"{self.address}: {message}")
        return NodeError("sql_error", f"{message} (error {code})", retryable=code in _DEADLOCKS)

    def _not_connected(self, error: BaseException) -> NodeError:
        if isinstance(error, ssl.SSLError):
            return NodeError("tls", f"{self.address}: {error.reason or error}", retryable=False)
        if isinstance(error, OSError):
            return NodeError("connection", f"{self.address}: {error}")
        cause = error.__cause__ or error.__context__
        if isinstance(cause, ssl.SSLError):
            return NodeError("tls", f"{self.address}: {cause.reason or cause}", retryable=False)
        if error.args and error.args[0] == CR.CR_SSL_CONNECTION_ERROR:
            return NodeError("tls", f"{self.address}: {error.args[-1]}", retryable=False)
        return self.fault(error)


def _tls(sslmode: str) -> dict[str, Any]:
    if sslmode == "disable":
        return {"ssl_disabled": True}
    if sslmode == "prefer":
        return {}
    context = ssl.create_default_context()
    if sslmode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}
