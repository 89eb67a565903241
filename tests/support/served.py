"""An application behind the connections that the service has."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import uvicorn

from web.connections import Connection


class Server(uvicorn.Server):
    """Ends at once when nothing is under way. Stock looks ten times a second, and then waits for a tenth of one."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        await super().startup(sockets)

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), 0.1)

    def stop(self) -> None:
        """From another thread."""
        self.should_exit = True
        self._loop.call_soon_threadsafe(self._over.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for _ in range(20):
            if not self.server_state.connections and not self.server_state.tasks:
                break
            await asyncio.sleep(0.001)
        else:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
            await server.wait_closed()


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
        self._server = Server(config)
        self._thread = threading.Thread(target=self._server.run)

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()
        while not self._server.started:
            time.sleep(0.002)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        self._server.stop()
        self._thread.join()
