"""One client's connection: what uvicorn leaves open about slow clients and small writes is closed here."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SLOWEST = 1024
"""Bytes per second that buy a request more time than `patience`."""

GATHERED = 64 * 1024
"""Bytes that wait for the end of a turn of the event loop; more go out at once."""

_TOO_SLOW = orjson.dumps(
    {
        "type": "about:blank",
        "title": "Too slow",
        "status": 408,
        "detail": "The request did not arrive in time, or its connection kept still. Send it again.",
    }
)


class Connection(HttpToolsProtocol):
    """Ends a request that has not arrived after `patience` seconds, and one more for each `SLOWEST` bytes of it.

    The rule is that of Apache's mod_reqtimeout. It holds for every route: an application sees a client that
    went away, its reads never need a time limit of their own. One timer serves all requests of a connection.
    """

    patience: ClassVar[float] = 30.0

    _began: float | None
    _received = 0
    _watch: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, _Gathering(transport, self.loop)))
        self._began = self.loop.time()
        self._watch = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._began = self.loop.time()
        self._received = 0
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._began = None
        super().on_message_complete()

    def _look(self) -> None:
        if self._began is None or self.flow.read_paused:
            # Nothing is on its way, or it is we who do not read.
            left = self.patience
        else:
            left = self._began + self.patience + self._received / SLOWEST - self.loop.time()
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        else:
            self._cut()

    def _cut(self) -> None:
        answering = (
            self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        )
        if self._received and not answering and not self.transport.is_closing():
            head = (
                f"HTTP/1.1 408 \r\ncontent-type: application/problem+json\r\ncontent-length: {len(_TOO_SLOW)}"
            )
            self.transport.write(f"{head}\r\nconnection: close\r\n\r\n".encode() + _TOO_SLOW)
        self.transport.close()


class _Gathering:
    """A transport that sends in one piece what is written in one turn of the event loop: uvicorn writes head and
    body apart, and each write is a system call and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > GATHERED:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))
