"""The body of a Git request as it streams in: chunked or not, gzip'd or not, never whole in memory."""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from web.git.errors import BodyTooLargeError, ClientGoneError, RequestError
from web.git.protocol import HEADER, ProtocolError, packet_length

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

GZIP = 16 + zlib.MAX_WBITS
PIECE = 256 * 1024


class Body:
    """Bytes of one request, decoded, in order. `limit` counts what was decoded since the last `allow`."""

    def __init__(self, receive: Receive, *, encoding: str, limit: int) -> None:
        if encoding not in ("", "identity", "gzip", "x-gzip"):
            raise RequestError(415, f"The body is encoded as {encoding!r}; send it as it is, or as gzip.")
        self._receive = receive
        self._inflate = zlib.decompressobj(GZIP) if encoding.endswith("gzip") else None
        self._left = self._limit = limit
        self._ahead = b""  # read from the connection, not yet handed out
        self._packed = b""  # compressed bytes whose content did not fit in the last piece
        self._ended = False

    def allow(self, limit: int) -> None:
        """From here on, `limit` bytes."""
        self._left = self._limit = limit

    async def piece(self) -> bytes:
        """The next bytes, as many as there are at hand; empty at the end."""
        taken, self._ahead = self._ahead, b""
        if not taken:
            taken = await self._next()
        self._left -= len(taken)
        if self._left < 0:
            raise BodyTooLargeError(self._limit)
        return taken

    async def exactly(self, count: int) -> bytes:
        """`count` bytes, or fewer where the body ends before."""
        found = bytearray()
        while len(found) < count:
            piece = await self.piece()
            if not piece:
                break
            found += piece
        self._give_back(bytes(found[count:]))
        return bytes(found[:count])

    async def packet(self) -> bytes | None:
        """The payload of the next pkt-line; None for a flush."""
        header = await self.exactly(HEADER)
        if len(header) < HEADER:
            raise ProtocolError("the request ends where a pkt-line or a flush belongs")
        length = packet_length(header)
        if length == 0:
            return None
        payload = await self.exactly(length - HEADER)
        if len(payload) < length - HEADER:
            raise ProtocolError("the request ends in the middle of a pkt-line")
        return payload

    async def discard(self) -> None:
        """Read what is left and drop it: a client that still sends does not read the answer."""
        self._ahead, self._packed, self._inflate = b"", b"", None
        while await self._next():
            pass

    def _give_back(self, data: bytes) -> None:
        self._left += len(data)
        self._ahead = data + self._ahead

    async def _next(self) -> bytes:
        """The next decoded bytes, at most `PIECE` of a compressed body at a time."""
        while True:
            data = self._packed or await self._from_connection()
            if self._inflate is None:
                return data
            decoded = self._decoded(self._inflate, data)
            if decoded:
                return decoded
            if not data:
                if not self._inflate.eof:
                    raise ProtocolError("the gzip'd body ends in the middle")
                return b""

    def _decoded(self, inflate: zlib._Decompress, data: bytes) -> bytes:
        try:
            decoded = inflate.decompress(data, PIECE)
        except zlib.error as error:
            raise ProtocolError(f"the body says it is gzip'd and is not: {error}") from error
        if inflate.unused_data:
            raise ProtocolError("something follows the gzip'd body")
        self._packed = inflate.unconsumed_tail
        return decoded

    async def _from_connection(self) -> bytes:
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError("the connection ended")
            self._ended = not message.get("more_body", False)
            if message.get("body"):
                return bytes(message["body"])
        return b""
