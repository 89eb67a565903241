"""Callers that wait for what their run gives."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from store import answers
from store.answers import State
from store.database import Database
from web.waiting import Waiting

LOOK: Final = 1.0
"""Seconds between two looks into the database while somebody waits: for what no notification told."""


class Callers(Waiting[State]):
    """What they expect is there when the run has answered or ended."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, answers.states, LOOK)
        self._asked: set[str] = set()

    def told(self, payload: str) -> None:
        """In the listener's thread: some run has answered or ended."""
        self.call(partial(self._hear, payload))

    def _hear(self, payload: str) -> None:
        run = answers.run_of(payload)
        if not self.awaits(run):
            return
        state = State.read(payload)
        if state is not None:
            self.settle(run, state)
        elif run not in self._asked:
            self._asked.add(run)
            task = asyncio.ensure_future(self.look([run]))
            task.add_done_callback(lambda _: self._asked.discard(run))
