"""An application behind the connections that the service has."""

from __future__ import annotations

import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from web.connections import Connection


class Served:
    """`app` on a free `port` of 127.0.0.1, in a thread of this process, from `start` to `stop`.

    `patience`: seconds that a connection has for a request that does not arrive.
    """

    port: int

    def __init__(
        self, app: Callable[[Any, Any, Any], Awaitable[None]], *, patience: float = Connection.patience
    ) -> None:
        config = uvicorn.Config(
            app,
            port=0,
            loop="uvloop",
            http=type("Patient", (Connection,), {"patience": patience}),
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="error",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=5,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.005)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()
