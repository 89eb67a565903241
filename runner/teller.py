"""Tells whoever follows a run in this worker's hands what happens to it; does nothing for other runs."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable

from runner.cords import Control
from runner.hands import Hands
from store import live
from store.database import Database, StoreUnavailable
from store.hot import HotConnection
from store.spans import Span

log = logging.getLogger(__name__)

PAUSE = 0.1
"""Seconds between two looks at a run that is followed."""

SHARE = 10
"""A look that took long is followed by a pause so many times as long: much that is logged holds up no node."""


class Teller:
    def __init__(self, database: Database, hands: Hands) -> None:
        self._hands = hands
        self._connection = HotConnection(database)
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._changed: set[str] = set()
        self._mutex = threading.Lock()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        self._thread.join()
        self._connection.close()

    def watch(self, payload: str) -> None:
        """Somebody follows these runs."""
        self._hands.watch(live.named(payload))
        self._news.set()

    def changed(self, runs: Iterable[str]) -> None:
        """Something of these runs is durable that was not before."""
        followed = self._hands.followed(runs)
        if followed:
            with self._mutex:
                self._changed.update(followed)
            self._news.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            self._news.clear()
            watched = self._hands.watched()
            try:
                self._look(watched)
            except StoreUnavailable as error:
                log.warning("database_away", extra={"error": str(error), "runs": len(watched)})
            self._stopping.wait(max(PAUSE, SHARE * (time.monotonic() - began)))
            if not watched:
                self._news.wait()

    def _look(self, watched: list[tuple[str, Control]]) -> None:
        shown = [run for run, control in watched if self._show(run, control)]
        self._tell(shown)
        for _, control in watched:
            control.live.due = True

    def _show(self, run: str, control: Control) -> bool:
        """Write down what is at work, where that is new."""
        lease, attempt = control.lease, control.live.attempt

        def write(span: Span) -> None:
            self._connection.run(lambda connection: live.show(connection, run, lease, attempt, span))

        shown = [node.show(write) for node in control.live.nodes()]
        return any(shown)

    def _tell(self, shown: list[str]) -> None:
        with self._mutex:
            changed, self._changed = self._changed, set()
        runs = sorted(changed.union(shown))
        if runs:
            self._connection.run(lambda connection: live.tell(connection, runs))
