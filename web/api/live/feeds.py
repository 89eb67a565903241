"""The runs that somebody follows through this process."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from starlette.concurrency import run_in_threadpool

from store import live
from store.database import Database, StoreUnavailable
from web.api.live.feed import Feed
from web.api.live.reading import Reader
from web.auth import Identity
from web.contents import Contents
from web.problems import Kind, Refusal

log = logging.getLogger(__name__)

MOST = 1000
"""Followers of one process."""

MOST_EACH = 50
"""Followers of one process who are the same user."""

AGAIN = 2.0
"""Seconds after which workers are told again which runs are followed: one that has just begun did not hear it."""


@dataclass(slots=True)
class _Followed:
    feed: Feed
    task: asyncio.Task[None] | None = None
    followers: int = 0
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)


class Feeds:
    """Belongs to one event loop, but for `told` and `stop`."""

    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents
        self._runs: dict[str, _Followed] = {}
        self._users: Counter[tuple[str, str]] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._announcing: asyncio.Task[None] | None = None
        self.stopping = False

    def told(self, payload: str) -> None:
        """A notification, in any thread: there is something new of these runs."""
        if self._loop is not None and self._runs:
            self._loop.call_soon_threadsafe(self._wake, live.named(payload))

    def stop(self) -> None:
        """Let all followers go: they come again, elsewhere if need be. In any thread."""
        self.stopping = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._release)

    @asynccontextmanager
    async def following(self, identity: Identity, run: str) -> AsyncIterator[Feed]:
        """The feed of a run of this identity's organisation. Raises Refusal, StoreUnavailable."""
        self._loop = asyncio.get_running_loop()
        user = (identity.organisation, identity.user)
        self._check(user)
        followed = self._runs.get(run)
        if followed is None:
            reader = Reader(self._database, self._contents, identity.organisation, run)
            followed = self._runs[run] = _Followed(Feed(reader))
        followed.followers += 1
        self._users[user] += 1
        try:
            await self._open(run, followed)
            yield followed.feed
        finally:
            self._users[user] -= 1
            followed.followers -= 1
            if not followed.followers:
                self._close(run, followed)

    def _check(self, user: tuple[str, str]) -> None:
        said = None
        if self._users[user] >= MOST_EACH:
            said = f"{user[1]} follows {MOST_EACH} runs here already. Close one of these streams."
        elif self._users.total() >= MOST:
            said = f"{MOST:,} streams are open here already. Look at the run itself, or come again later."
        if said is not None:
            raise Refusal(Kind.TOO_MANY, said, headers={"Retry-After": "10"})

    async def _open(self, run: str, followed: _Followed) -> None:
        async with followed.opening:
            if followed.task is not None:
                return
            await followed.feed.open()
            followed.task = asyncio.create_task(followed.feed.follow())
            followed.task.add_done_callback(partial(_over, followed.feed))
        if not followed.feed.ended:
            await self._announce([run])
            followed.feed.wake()
        if self._announcing is None or self._announcing.done():
            self._announcing = asyncio.create_task(self._announce_again())

    def _close(self, run: str, followed: _Followed) -> None:
        del self._runs[run]
        if followed.task is not None:
            followed.task.cancel()

    async def _announce_again(self) -> None:
        while self._runs:
            await asyncio.sleep(AGAIN)
            await self._announce([run for run, one in self._runs.items() if not one.feed.ended])

    async def _announce(self, runs: list[str]) -> None:
        try:
            await run_in_threadpool(self._watch, runs)
        except StoreUnavailable as error:
            log.warning("database_away", extra={"error": str(error)})

    def _watch(self, runs: list[str]) -> None:
        if runs:
            with self._database.connection() as connection:
                live.watch(connection, runs)

    def _wake(self, runs: list[str]) -> None:
        for run in runs:
            if run in self._runs:
                self._runs[run].feed.wake()

    def _release(self) -> None:
        for followed in self._runs.values():
            followed.feed.release()


def _over(feed: Feed, task: asyncio.Task[None]) -> None:
    """Nobody waits for a feed that has failed: its followers come again, and hear why."""
    if not task.cancelled() and task.exception() is not None:
        log.error("feed_failed", exc_info=task.exception())
        feed.release()
