"""`GET /runs/{id}/events`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from store.database import Database
from web.api.live.cursor import Cursor
from web.api.live.feeds import Feeds
from web.api.live.stream import EventStream
from web.api.query import Parser, wrong
from web.api.resource import Call
from web.api.runs import find_run

QUERY: Mapping[str, Parser] = {"after": Cursor.read}


class Events:
    def __init__(self, database: Database, feeds: Feeds) -> None:
        self._database = database
        self._feeds = feeds

    async def follow(self, call: Call) -> Response:
        """A stream of what has happened to a run and what does; 204 for who has had all of it."""
        run = await run_in_threadpool(self._find, call)
        cursor = _cursor(call)
        if cursor.ended:
            return Response(status_code=204)
        async with AsyncExitStack() as stack:
            feed = await stack.enter_async_context(self._feeds.following(call.identity, run))
            return EventStream(feed, cursor, stack.pop_all(), call.allowed)

    def _find(self, call: Call) -> str:
        with self._database.connection() as connection:
            return find_run(connection, call).id


def _cursor(call: Call) -> Cursor:
    """What browsers send when they come again is newer than the address that they were given."""
    if call.last_event is None:
        return call.query["after"] or Cursor()
    try:
        return Cursor.read(call.last_event)
    except ValueError as error:
        raise wrong("headers", [{"path": "Last-Event-ID", "message": str(error)}]) from None
