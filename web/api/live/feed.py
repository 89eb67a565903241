"""What is new of one run, read once for all who follow it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from starlette.concurrency import run_in_threadpool

from store.database import StoreUnavailable
from web.api.live.reading import Page, Reader
from web.api.live.telling import Told

log = logging.getLogger(__name__)

LOOK = 1.0
"""Seconds until a feed looks by itself: a notification may be lost."""

PAUSE = 0.05
"""Seconds between two looks at least."""

SHARE = 4
"""A look that took long is followed by a pause so many times as long."""

KEPT = 1024 * 1024
"""Bytes of the latest rows that are kept for followers who are behind; those who are further behind read for
themselves."""


class Feed:
    """Belongs to one event loop. `version` is raised by everything that is new."""

    def __init__(self, reader: Reader) -> None:
        self.version = 0
        self.run = b"{}"
        self.ended = False
        self.released = False
        self._reader = reader
        self._floor = self._position = -1  # all rows between them are kept
        self._rows: deque[Told] = deque()
        self._size = 0
        self._news = asyncio.Event()
        self._told = asyncio.Event()

    async def open(self) -> None:
        """Find out where the run is. Raises StoreUnavailable."""
        self._floor = self._position = await run_in_threadpool(self._reader.last)
        self._take(await run_in_threadpool(self._reader.page, self._position))

    def wake(self) -> None:
        """There may be something new."""
        self._news.set()

    def release(self) -> None:
        """Let all followers go."""
        self.released = True
        self._tell()

    async def follow(self) -> None:
        """Look until the run has ended."""
        clock = asyncio.get_running_loop().time
        while not self.ended:
            began = clock()
            self._news.clear()
            try:
                page = await run_in_threadpool(self._reader.page, self._position)
                self._take(page)
            except StoreUnavailable as error:
                log.warning("database_away", extra={"error": str(error)})
                await asyncio.sleep(LOOK)
                continue
            if not page.whole:
                continue
            await asyncio.sleep(max(PAUSE, SHARE * (clock() - began)))
            try:
                async with asyncio.timeout(LOOK):
                    await self._news.wait()
            except TimeoutError:
                pass

    async def rows(self, seq: int) -> tuple[Sequence[Told], int | None]:
        """What is new behind row `seq`, and the number up to which that is all; None: there is more. Raises
        StoreUnavailable.
        """
        if seq >= self._floor:
            return [row for row in self._rows if row.seq > seq], self._position
        position = self._position
        page = await run_in_threadpool(self._reader.page, seq)
        return page.rows, position if page.whole else None

    async def news(self, version: int, seconds: float) -> bool:
        """Wait until there is something newer than `version`; False: not within that time."""
        try:
            async with asyncio.timeout(seconds):
                while self.version == version:
                    await self._told.wait()
                return True
        except TimeoutError:
            return False

    def _take(self, page: Page) -> None:
        if not page.rows and page.run == self.run:
            return
        for row in page.rows:
            self._rows.append(row)
            self._size += row.size
            self._position = max(self._position, row.seq)
        while self._size > KEPT:
            row = self._rows.popleft()
            self._size -= row.size
            self._floor = row.seq
        self.run = page.run
        self.ended = page.ended and page.whole
        self._tell()

    def _tell(self) -> None:
        self.version += 1
        self._told.set()
        self._told = asyncio.Event()
