"""The answer to one Git request, sent as raw ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from web.git.errors import RequestError

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Answer:
    """Status and type once, then any number of pieces, then the end."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False

    async def start(
        self, content_type: str, *, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        self.started = True
        fixed = ((b"content-type", content_type.encode()), (b"cache-control", b"no-cache"))
        await self._send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})

    async def piece(self, data: bytes) -> None:
        """Returns when the client is ready for more."""
        if data:
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data})

    async def whole(self, content_type: str, data: bytes) -> None:
        await self.start(content_type, headers=((b"content-length", str(len(data)).encode()),))
        await self.end(data)

    async def refuse(self, error: RequestError) -> None:
        data = f"{error.text}\n".encode()
        length = (b"content-length", str(len(data)).encode())
        await self.start("text/plain; charset=utf-8", status=error.status, headers=(length, *error.headers))
        await self.end(data)
