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


class _Waiting(Generic[Item, Result]):
    """One caller: its items, and a future of their results, or of None: it is its turn to commit."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.turn: Future[list[Result] | None] = Future()


class GroupCommit(Generic[Item, Result]):
    """Serialises `commit(items) -> results` (same length, same order) over the callers of `submit`.

    When a shared commit fails, its items are tried again one by one, so that one bad item fails alone.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], Sequence[Result]], *, limit: int = 256) -> None:
        """`limit`: from so many items on, whoever comes waits for the next commit."""
        self._commit = commit
        self._limit = limit
        self._mutex = threading.Lock()
        self._waiting: list[_Waiting[Item, Result]] = []
        self._busy = False

    def submit(self, items: Sequence[Item]) -> list[Result]:
        """Wait until all `items` are committed. Raises what `commit` raised for the first that failed."""
        own: _Waiting[Item, Result] = _Waiting(items)
        with self._mutex:
            self._waiting.append(own)
            lead, self._busy = not self._busy, True
        results = None if lead else own.turn.result()
        if results is None:
            results = self._lead(own)
        return results

    def _lead(self, own: _Waiting[Item, Result]) -> list[Result]:
        """Commit for all who wait, then let one who came meanwhile do the same: nobody leads for ever."""
        own.turn = Future()
        try:
            self._settle(self._take())
        finally:
            with self._mutex:
                self._busy = bool(self._waiting)
                successor = self._waiting[0] if self._waiting else None
            if successor is not None:
                successor.turn.set_result(None)
        results = own.turn.result()
        assert results is not None
        return results

    def _take(self) -> list[_Waiting[Item, Result]]:
        """Whoever leads is the first of those who wait, so its own items are always taken."""
        with self._mutex:
            size = count = 0
            while count < len(self._waiting) and (count == 0 or size < self._limit):
                size += len(self._waiting[count].items)
                count += 1
            taken, self._waiting = self._waiting[:count], self._waiting[count:]
            return taken

    def _settle(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        try:
            results = iter(self._commit([item for waiting in batch for item in waiting.items]))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it reaches whoever waits
            if sum(len(waiting.items) for waiting in batch) == 1:
                batch[0].turn.set_exception(error)
            else:
                self._settle_apart(batch)
            return
        for waiting in batch:
            waiting.turn.set_result([next(results) for _ in waiting.items])

    def _settle_apart(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        for waiting in batch:
            single: list[_Waiting[Item, Result]] = [_Waiting([item]) for item in waiting.items]
            for one in single:
                self._settle([one])
            errors = [one.turn.exception() for one in single if one.turn.exception() is not None]
            if errors:
                waiting.turn.set_exception(errors[0])
            else:
                waiting.turn.set_result([result for one in single for result in one.turn.result() or ()])
