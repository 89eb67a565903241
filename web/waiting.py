"""Waiting for what becomes of runs: one future for each who waits, no thread."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from store.database import Connection, Database, StoreUnavailable

Found = TypeVar("Found")


class Waiting(Generic[Found]):
    """Belongs to the event loop of whoever waits first. `find` gives what is known of those runs of which there is
    something to tell; it is asked every so many seconds while somebody waits.
    """

    def __init__(
        self,
        database: Database,
        find: Callable[[Connection, Sequence[str]], Mapping[str, Found]],
        every: float,
    ) -> None:
        self._database = database
        self._find = find
        self._every = every
        self._waiting: dict[str, set[asyncio.Future[Found | None]]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        self._leaving = False

    @contextmanager
    def expecting(self, run: str) -> Iterator[asyncio.Future[Found | None]]:
        """Done when there is something to tell; None: the process stops, and waits for nothing more."""
        future = self._expect(run)
        try:
            yield future
        finally:
            future.cancel()
            self._waiting[run].discard(future)
            if not self._waiting[run]:
                del self._waiting[run]

    async def look(self, runs: Sequence[str]) -> None:
        """See now how these stand."""
        for run, found in (await asyncio.to_thread(self._found, runs)).items():
            self.settle(run, found)

    def settle(self, run: str, found: Found | None) -> None:
        for future in self._waiting.get(run, ()):
            if not future.done():
                future.set_result(found)

    def awaits(self, run: str) -> bool:
        return run in self._waiting

    def call(self, told: Callable[[], None]) -> None:
        """Have the event loop do this, if somebody waits there. In any thread."""
        if self._loop is not None and self._waiting:
            self._loop.call_soon_threadsafe(told)

    def leave(self) -> None:
        """Whoever waits goes on without. In any thread."""
        self._leaving = True
        self.call(self._let_go)

    def _expect(self, run: str) -> asyncio.Future[Found | None]:
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[Found | None] = self._loop.create_future()
        self._waiting[run].add(future)
        if self._leaving:
            future.set_result(None)
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look())
        return future

    def _let_go(self) -> None:
        for run in self._waiting:
            self.settle(run, None)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._every)
            await self.look(list(self._waiting))

    def _found(self, runs: Sequence[str]) -> Mapping[str, Found]:
        try:
            with self._database.connection() as connection:
                return self._find(connection, runs)
        except StoreUnavailable:
            return {}  # whoever waits goes on doing so: it may be back in time
