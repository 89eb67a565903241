"""Hearing what other processes did, the moment they did it."""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from psycopg import sql

from store.database import Connection, Database, StoreUnavailable, connect, unavailable

log = logging.getLogger(__name__)

RETRY = 1.0
"""Seconds between two attempts to reach the database."""
MOST_NAMES = 100
"""Deployments that one notification names; of more it says that there are."""


class Changed(NamedTuple):
    """That something else is live in an organisation: these deployments; None: any of them."""

    organisation: str
    names: tuple[str, ...] | None

    @property
    def payload(self) -> str:
        """What fits into a notification (8,000 bytes; a name has at most 63)."""
        names = self.names if self.names is not None and len(self.names) <= MOST_NAMES else ("*",)
        return " ".join((self.organisation, *names))

    @classmethod
    def read(cls, payload: str) -> Changed:
        organisation, *names = payload.split(" ")
        return cls(organisation, None if names == ["*"] else tuple(names))


class Listener(threading.Thread):
    """Calls a channel's handler with each notification's payload, and `refresh` whenever it may have missed
    some: at the start and after each lost connection.
    """

    def __init__(
        self, database: Database, handlers: Mapping[str, Callable[[str], None]], refresh: Callable[[], None]
    ) -> None:
        super().__init__(name="listener", daemon=True)
        self._url = database.url
        self._handlers = handlers
        self._refresh = refresh
        self._stopping = threading.Event()
        self.connected = threading.Event()
        # Closing one end wakes whoever waits at the other.
        self._waker, self._awoken = socket.socketpair()

    def stop(self) -> None:
        self._stopping.set()
        self._waker.close()
        self.join()

    def run(self) -> None:
        with self._awoken:
            self._run()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with unavailable(), connect(self._url) as connection:
                    self._listen(connection)
            except StoreUnavailable as error:
                log.warning("notifications_lost", extra={"error": str(error)})
                self._stopping.wait(RETRY)
            finally:
                self.connected.clear()

    def _listen(self, connection: Connection) -> None:
        for channel in self._handlers:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self._refresh()
        self.connected.set()
        poll = select.poll()
        for waited_for in (connection, self._awoken):
            poll.register(waited_for, select.POLLIN)
        # By libpq itself: somebody may wait for what comes, and psycopg takes its time.
        pgconn = connection.pgconn
        while not self._stopping.is_set():
            pgconn.consume_input()
            while (told := pgconn.notifies()) is not None and not self._stopping.is_set():
                self._handlers[told.relname.decode()](told.extra.decode())
            poll.poll()
