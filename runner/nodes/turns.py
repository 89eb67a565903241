"""Waiting for one's turn at a connection with `maxConcurrent`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from runner.nodes.base import NodeContext, NodeError, NodeHandler
from schemas.connection import Limit
from schemas.pattern import JSON
from store import turns
from store.database import Database, StoreUnavailable

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at the line, beside what notifications say
_SLICE = 0.05  # seconds; how late a cancellation may be noticed
_AGAIN = 0.5  # seconds until what could not be given back is given back again


class Turns:
    """For many threads. `heard` takes what the workers tell each other, so that nobody waits for a look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[int, threading.Event] = {}
        self._closed = threading.Event()

    @contextmanager
    def taken(self, context: NodeContext, limit: Limit) -> Iterator[None]:
        """Raises NodeError `timeout` and `cancelled` while it waits, StoreUnavailable without a database."""
        turn = self._take(context, limit)
        try:
            yield
        finally:
            self._give_back(limit, turn)

    def heard(self, payload: str) -> None:
        self._wake(map(int, payload.split()))

    def close(self) -> None:
        self._closed.set()

    def _take(self, context: NodeContext, limit: Limit) -> int:
        with self._database.transaction() as connection:
            asked = turns.ask(connection, limit, context.run_id, context.lease)
        self._wake(asked.granted)
        if not asked.taken:
            self._wait(context, limit, asked.id)
        return asked.id

    def _wait(self, context: NodeContext, limit: Limit, turn: int) -> None:
        context.log("info", f"waits for its turn at {limit.connection}: {limit.most} at once use it")
        woken = self._waiting[turn] = threading.Event()
        taken = False
        try:
            # At first as well: it may have come before anybody listened. Whoever is woken has it.
            while not taken:
                taken = self._has(limit, turn) or _woken(woken, context, limit)
        finally:
            self._waiting.pop(turn, None)
            if not taken:
                self._give_back(limit, turn)

    def _has(self, limit: Limit, turn: int) -> bool:
        with self._database.transaction() as connection:
            found = turns.look(connection, limit, turn)
        if found is None:
            raise NodeError("cancelled", "given up: its run goes on elsewhere", retryable=False)
        self._wake(found.granted)
        return found.taken

    def _wake(self, granted: Iterable[int]) -> None:
        for turn in granted:
            woken = self._waiting.get(turn)
            if woken is not None:
                woken.set()

    def _give_back(self, limit: Limit, turn: int) -> None:
        """The node is done, whatever the database says: what it cannot take now, it takes later."""
        try:
            self._hand_on(limit, turn)
        except StoreUnavailable as error:
            log.warning("turn_not_given_back", extra={"connection": limit.connection, "error": str(error)})
            threading.Thread(
                target=self._give_back_later, args=[limit, turn], name="turns", daemon=True
            ).start()

    def _give_back_later(self, limit: Limit, turn: int) -> None:
        while not self._closed.wait(_AGAIN):
            try:
                self._hand_on(limit, turn)
            except StoreUnavailable:
                continue
            return

    def _hand_on(self, limit: Limit, turn: int) -> None:
        with self._database.transaction() as connection:
            granted = turns.give_back(connection, limit, turn)
        self._wake(granted)


class InTurn:
    """A handler whose `connection` is used by no more nodes at one time than it allows."""

    def __init__(self, handler: NodeHandler, turns: Turns) -> None:
        self._handler = handler
        self._turns = turns

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        name = inputs.get("connection")
        limit = None if name is None else context.connections.limit(str(name))
        if limit is None:
            return self._handler(context, inputs)
        with self._turns.taken(context, limit):
            return self._handler(context, inputs)


def _woken(woken: threading.Event, context: NodeContext, limit: Limit) -> bool:
    """False: it is time to look. Raises NodeError when the node may not wait any longer."""
    end = time.monotonic() + _LOOK
    while not woken.wait(_SLICE):
        if time.monotonic() >= end:
            return False
        if context.cancelled.is_set():
            raise NodeError("cancelled", f"{limit.connection}: given up with its run", retryable=False)
        if context.remaining() <= 0:
            message = f"{limit.connection}: its turn did not come in time: {limit.most} at once may use it"
            hint = "Raise `maxConcurrent` of the connection, or give the node a longer `timeout`."
            raise NodeError("timeout", message, hint=hint)
    return True
