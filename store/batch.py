"""Group commit: whoever comes while a commit is under way shares the next one.

The best window is none (measured: a 1 ms timer costs 1.2 ms when idle and gains nothing under load).
There is no thread of its own either: the first caller commits for all who wait, so an idle commit
costs no hand-over and no thread can die and leave its callers hanging.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class GroupCommit(Generic[Item, Result]):
    """Serialises `commit(items) -> results` (same length, same order) over the callers of `submit`.

    When a shared commit fails, its items are tried again one by one, so that one bad item fails alone.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int = 256) -> None:
        self._commit = commit
        self._limit = limit
        self._mutex = threading.Lock()
        self._pending: list[tuple[Item, Future[Result]]] = []
        self._busy = False

    def submit(self, items: Sequence[Item]) -> list[Result]:
        """Wait until all `items` are committed. Raises what `commit` raised for the first that failed."""
        entries: list[tuple[Item, Future[Result]]] = [(item, Future()) for item in items]
        with self._mutex:
            self._pending.extend(entries)
            lead, self._busy = not self._busy, True
        if lead:
            self._lead()
        return [future.result() for _, future in entries]

    def _lead(self) -> None:
        """Commit until nobody waits. `_busy` is given up under the same lock that sees the list empty."""
        while True:
            with self._mutex:
                batch, self._pending = self._pending[: self._limit], self._pending[self._limit :]
                if not batch:
                    self._busy = False
                    return
            self._settle(batch)

    def _settle(self, batch: list[tuple[Item, Future[Result]]]) -> None:
        try:
            results = self._commit([item for item, _ in batch])
        except BaseException as error:  # noqa: BLE001 - whatever it is, it reaches whoever waits
            if len(batch) == 1 or not isinstance(error, Exception):
                for _, future in batch:
                    future.set_exception(error)
                return
            for entry in batch:
                self._settle([entry])
            return
        for (_, future), result in zip(batch, results, strict=True):
            future.set_result(result)
