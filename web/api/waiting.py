"""Waiting for runs to end: one task looks for everybody who waits."""

from __future__ import annotations

import asyncio
from collections import defaultdict

from starlette.concurrency import run_in_threadpool

from store import run_reads
from store.database import Database, StoreUnavailable

LOOK = 0.05
"""Seconds between two looks while somebody waits."""


class EndedRuns:
    """Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def wait(self, run: str, seconds: float) -> None:
        """Returns when the run has ended, or the time is over."""
        ended = asyncio.Event()
        self._waiting[run].add(ended)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            pass
        finally:
            self._waiting[run].discard(ended)
            if not self._waiting[run]:
                del self._waiting[run]

    async def _look(self) -> None:
        while self._waiting:
            for run in await run_in_threadpool(self._ended, list(self._waiting)):
                for event in self._waiting.get(run, ()):
                    event.set()
            await asyncio.sleep(LOOK)

    def _ended(self, runs: list[str]) -> set[str]:
        try:
            with self._database.connection() as connection:
                return run_reads.ended(connection, runs)
        except StoreUnavailable:
            return set()  # whoever waits goes on doing so: it may be back in time
