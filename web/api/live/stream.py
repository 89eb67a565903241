"""One follower's connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, aclosing

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from store.database import StoreUnavailable
from web.api.live.cursor import Cursor
from web.api.live.feed import Feed
from web.api.live.telling import frame, frames
from web.connections import ABORT

HEARTBEAT = 15.0
"""Seconds after which a stream without events says that it is there."""

SLOWEST = 30.0
"""Seconds that a follower may take for what is sent at once; it may come again with the last id it has."""

PIECE = 64 * 1024
"""Bytes that are sent at once, or little more."""

COME_AGAIN = 1000
"""Milliseconds after which a follower who was cut off shall come again."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No cache and no proxy keeps events back."""

Allowed = Callable[[], Awaitable[bool]]


class EventStream(Response):
    """`resources` are given back when the stream is over; `allowed` says whether the follower still may."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, cursor: Cursor, resources: AsyncExitStack, allowed: Allowed) -> None:
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._feed = feed
        self._cursor = cursor
        self._resources = resources
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._resources:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            if scope["method"] == "HEAD" or await self._stream(receive, send):
                await send({"type": "http.response.body", "body": b""})
            else:
                # Not closed: that would wait until all is read that was sent.
                scope["extensions"][ABORT]["call"]()

    async def _stream(self, receive: Receive, send: Send) -> bool:
        """Until the run has ended; False: until the follower goes, or takes too long."""
        sending = asyncio.create_task(self._send(send))
        leaving = asyncio.create_task(_disconnected(receive))
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
            return sending.done() and sending.exception() is None
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        async with aclosing(pieces(self._feed, self._cursor, self._allowed)) as found:
            async for piece in found:
                async with asyncio.timeout(SLOWEST):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def pieces(feed: Feed, cursor: Cursor, allowed: Allowed) -> AsyncGenerator[bytes, None]:
    """What is sent to a follower who is as far as `cursor`, until the run has ended or the feed lets go."""
    clock = asyncio.get_running_loop().time
    checked, said = clock(), b""
    yield b"retry: %d\n\n" % COME_AGAIN
    while not feed.released:
        version, run, ended = feed.version, feed.run, feed.ended
        if run != said and not (said and ended):
            said = run
            yield frame("run", run)
        try:
            rows, through = await feed.rows(cursor.seq)
        except (StoreUnavailable, LookupError):
            return  # whoever comes again hears why
        for piece in _gathered(event for row in rows for event in frames(cursor, row)):
            yield piece
        if through is None:
            continue
        cursor.seq = max(cursor.seq, through)
        if ended:
            if run != said:
                yield frame("run", run)
            cursor.ended = True
            yield frame("end", b"{}", str(cursor))
            return
        quiet = not await feed.news(version, HEARTBEAT)
        if clock() - checked >= HEARTBEAT:
            checked = clock()
            if not await allowed():
                return
        if quiet:
            yield b": nothing new\n\n"


def _gathered(events: Iterable[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for event in events:
        held.append(event)
        size += len(event)
        if size > PIECE:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
