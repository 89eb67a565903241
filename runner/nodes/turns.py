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
from store.ids import new_id
from store.turns import Turn

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between two looks at the line, beside what notifications say
_SLICE = 0.05  # seconds; how late a cancellation may be noticed
_AGAIN = 0.5  # seconds until what could not be given back is given back again


class Turns:
    """For many threads. `heard` takes what the workers tell each other, so that nobody waits for a look."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, threading.Event] = {}
        self._closed = threading.Event()

    @contextmanager
    def taken(self, context: NodeContext, limit: Limit) -> Iterator[None]:
        """Raises NodeError `timeout` and `cancelled` while it waits, StoreUnavailable without a database then."""
        turn = Turn(token=new_id(), run=context.run_id, lease=context.lease)
        self._take(context, limit, turn)
        try:
            yield
        finally:
            self._give_back(limit, turn.token)

    def heard(self, payload: str) -> None:
        self._wake(payload.split())

    def close(self) -> None:
        self._closed.set()

    def _take(self, context: NodeContext, limit: Limit, turn: Turn) -> None:
        woken = self._waiting[turn.token] = threading.Event()
        taken = False
        try:
            taken = self._has(context, limit, turn)
            if not taken:
                context.log("info", f"waits for its turn at {limit.connection}: {limit.most} at once use it")
            while not taken:
                # Whoever is woken has it.
                taken = _woken(woken, context, limit) or self._has(context, limit, turn)
        finally:
            self._waiting.pop(turn.token, None)
            if not taken:
                self._give_back(limit, turn.token)

    def _has(self, context: NodeContext, limit: Limit, turn: Turn) -> bool:
        """Whether its turn has come. While the database is away, it has not: asked again, it keeps its place."""
        try:
            with self._database.transaction() as connection:
                asked = turns.ask(connection, limit, turn)
        except StoreUnavailable:
            if context.cancelled.is_set() or context.remaining() <= 0:
                raise
            return False
        if asked is None:
            raise NodeError("cancelled", "given up: its run goes on elsewhere", retryable=False)
        self._wake(asked.granted)
        return asked.taken

    def _wake(self, granted: Iterable[str]) -> None:
        for token in granted:
            woken = self._waiting.get(token)
            if woken is not None:
                woken.set()

    def _give_back(self, limit: Limit, token: str) -> None:
        """The node is done, whatever the database says: what it cannot take now, it takes later."""
        try:
            self._hand_on(limit, token)
        except StoreUnavailable as error:
            log.warning("turn_not_given_back", extra={"connection": limit.connection, "error": str(error)})
            threading.Thread(
                target=self._give_back_later, args=[limit, token], name="turns", daemon=True
            ).start()

    def _give_back_later(self, limit: Limit, token: str) -> None:
        while not self._closed.wait(_AGAIN):
            try:
                self._hand_on(limit, token)
            except StoreUnavailable:
                continue
            return

    def _hand_on(self, limit: Limit, token: str) -> None:
        with self._database.transaction() as connection:
            granted = turns.give_back(connection, limit, token)
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
