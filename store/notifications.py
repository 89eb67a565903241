"""Hearing what other processes did, the moment they did it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from psycopg import sql

from store.database import Connection, Database, StoreUnavailable, connect, unavailable

log = logging.getLogger(__name__)

CHECK = 1.0
"""Seconds between two looks at whether to stop."""


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

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with unavailable(), connect(self._url) as connection:
                    self._listen(connection)
            except StoreUnavailable as error:
                log.warning("notifications_lost", extra={"error": str(error)})
                self._stopping.wait(CHECK)
            finally:
                self.connected.clear()

    def _listen(self, connection: Connection) -> None:
        for channel in self._handlers:
            connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        self._refresh()
        self.connected.set()
        while not self._stopping.is_set():
            for notification in connection.notifies(timeout=CHECK):
                self._handlers[notification.channel](notification.payload)
                if self._stopping.is_set():
                    return
