"""Callers that wait for what their run gives: one future each, no thread."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from store import answers
from store.answers import State
from store.database import Database, StoreUnavailable

log = logging.getLogger(__name__)

LOOK: Final = 1.0
"""Seconds between two looks into the database while somebody waits: for what no notification told."""


class Callers:
    """Belongs to the event loop of whoever waits first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[asyncio.Future[State | None]]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._looking: asyncio.Task[None] | None = None
        self._asked: set[str] = set()
        self._leaving = False

    @contextmanager
    def expecting(self, run: str) -> Iterator[asyncio.Future[State | None]]:
        """Done when the run has answered or ended; None: the process stops, and waits for nothing more."""
        future = self._expect(run)
        try:
            yield future
        finally:
            future.cancel()
            self._waiting[run].discard(future)
            if not self._waiting[run]:
                del self._waiting[run]

    def _expect(self, run: str) -> asyncio.Future[State | None]:
        self._loop = asyncio.get_running_loop()
        future: asyncio.Future[State | None] = self._loop.create_future()
        self._waiting[run].add(future)
        if self._leaving:
            future.set_result(None)
        if self._looking is None or self._looking.done():
            self._looking = self._loop.create_task(self._look())
        return future

    def leave(self) -> None:
        """Whoever waits is told where to read on. In any thread."""
        self._leaving = True
        if self._loop is not None and self._waiting:
            self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)

    def told(self, payload: str) -> None:
        """In the listener's thread: some run has answered or ended."""
        if self._loop is not None and self._waiting:
            self._loop.call_soon_threadsafe(self._hear, payload)

    async def look(self, runs: list[str]) -> None:
        """See now how these stand."""
        for state in await asyncio.to_thread(self._states, runs):
            self._settle(state)

    def _hear(self, payload: str) -> None:
        run = answers.run_of(payload)
        if run not in self._waiting:
            return
        state = answers.State.read(payload)
        if state is not None:
            self._settle(state)
        elif run not in self._asked:
            self._asked.add(run)
            task = asyncio.ensure_future(self.look([run]))
            task.add_done_callback(lambda _: self._asked.discard(run))

    def _settle(self, state: State) -> None:
        for future in self._waiting.get(state.run, ()):
            if not future.done():
                future.set_result(state)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(LOOK)
            await self.look(list(self._waiting))

    def _states(self, runs: list[str]) -> list[State]:
        try:
            with self._database.connection() as connection:
                return answers.states(connection, runs)
        except StoreUnavailable:
            return []  # whoever waits goes on doing so: it may be back in time
