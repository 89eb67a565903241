"""One client's connection: what uvicorn leaves open about slow clients and small writes is closed here."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from web.problems import Kind, Refusal

SLOWEST = 1024
"""Bytes that buy a request one more second."""

GATHERED = 64 * 1024
"""Bytes that wait for the end of a turn of the event loop; more go out at once."""

LONGEST_HEAD = 64 * 1024
"""Bytes of a request's line and headers; what comes in one packet may be longer."""

LINGER = 1.0
"""Seconds in which a client that is still sending may read why it was refused: a connection that is closed over
bytes not read is reset, and the answer with it (RFC 9112, 9.6)."""

ABORT = "weft.abort"
"""What an application calls (`scope["extensions"][ABORT]["call"]`) to end a connection that nobody reads."""

_TOO_SLOW = Refusal(Kind.SLOW, "Send the request again; this connection is closed.")
_TOO_LONG = Refusal(
    Kind.HEAD_TOO_LARGE, f"A head may have {LONGEST_HEAD:,} bytes. Put large data in the body."
)


class Connection(HttpToolsProtocol):
    """Ends a request that has not arrived after `patience` seconds, and one more for each `SLOWEST` bytes of it.

    That is the rule of Apache's mod_reqtimeout, but a request never has more than `patience` in hand: who stops
    is let go soon, however much came before. It holds for every route: an application sees a client that went
    away, its reads never need a time limit of their own. One timer serves all requests of a connection.
    """

    patience: ClassVar[float] = 30.0

    _deadline: float | None
    """Of the request that is on its way or, on a new connection, awaited."""

    _received = 0
    """Bytes of it since it began, or since the last look."""

    _head = 0
    """Bytes of it while its head has not ended."""

    _gathering: _Gathering
    _watch: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._gathering = _Gathering(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))
        self._deadline = self.loop.time() + self.patience
        self._watch = self.loop.call_later(self.patience, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._gathering.is_over:
            return
        super().data_received(data)
        self._received += len(data)
        if self._deadline is not None and not self._has_head():
            self._head += len(data)
            if self._head > LONGEST_HEAD:
                self._end(_TOO_LONG if self.cycle is None or self.cycle.response_complete else None)

    def eof_received(self) -> None:
        # The transport closes now, and drops what it has not got yet.
        self._gathering.flush()
        super().eof_received()

    def on_message_begin(self) -> None:
        self._deadline = self.loop.time() + self.patience
        self._received = self._head = 0
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: {"call": self._abort}}

    def on_message_complete(self) -> None:
        self._deadline = None
        super().on_message_complete()

    def _look(self) -> None:
        now = self.loop.time()
        if self._deadline is not None and not self._waits_for_us():
            self._deadline = min(self._deadline + self._received / SLOWEST, now + self.patience)
        elif self._deadline is not None or self._is_forgotten():
            # It is the client's turn again at any moment from here to the next look.
            self._deadline = now + 2 * self.patience
        self._received = 0
        left = self.patience if self._deadline is None else min(self._deadline - now, self.patience)
        if left > 0:
            self._watch = self.loop.call_later(left, self._look)
        else:
            self._cut()

    def _waits_for_us(self) -> bool:
        """Whether we do not read, have not called for the body, or owe the answer to an earlier request."""
        if self.flow.read_paused or self.pipeline:
            return True
        if self._has_head():
            return self.cycle.waiting_for_100_continue
        return self.cycle is not None and not self.cycle.response_complete

    def _is_forgotten(self) -> bool:
        """Whether bytes that began no request, or the end of one that was answered before, have taken uvicorn's
        keep-alive timer away.
        """
        return (
            self.timeout_keep_alive_task is None and self.cycle is not None and self.cycle.response_complete
        )

    def _has_head(self) -> bool:
        """Whether the request that began last has its head: uvicorn makes the scope at the first byte."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def _abort(self) -> None:
        self.transport.abort()

    def _cut(self) -> None:
        unanswered = not self.cycle.response_started if self._has_head() else self.scope is not None
        self._end(_TOO_SLOW if unanswered else None)

    def _end(self, refusal: Refusal | None) -> None:
        """Close the connection, with an answer where there may be one."""
        if refusal is None or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write(self._answer(refusal))
        self._gathering.end()
        self._watch.cancel()
        self._watch = self.loop.call_later(LINGER, self.transport.close)

    def _answer(self, refusal: Refusal) -> bytes:
        answer = refusal.response()
        headers = [*self.server_state.default_headers, *answer.raw_headers, (b"connection", b"close")]
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return STATUS_LINE[answer.status_code] + lines + b"\r\n" + bytes(answer.body)


class _Gathering:
    """A transport that sends in one piece what is written in one turn of the event loop: uvicorn writes head and
    body apart, and each write is a system call and a packet.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._size = 0
        self.is_over = False

    def write(self, data: bytes) -> None:
        if self.is_over:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > GATHERED:
            self.flush()

    def end(self) -> None:
        """Nothing follows what is written, but the other side may go on sending."""
        self.flush()
        self.is_over = True
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
