"""A small thread-safe cache of the values used last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """In two generations: what is used moves to the young one; when that is full, the old one is forgotten.

    Reading takes no lock: threads that take turns would queue up behind it. Two that miss at once both make the
    value; either serves.
    """

    def __init__(self, limit: int) -> None:
        """`limit`: of the values in both generations."""
        self._most = limit // 2
        self._mutex = threading.Lock()
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}
        self._cleared = 0

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        try:
            return self._young[key]
        except KeyError:
            return self._get(key, make)

    def _get(self, key: Key, make: Callable[[], Value]) -> Value:
        cleared, old = self._cleared, self._old
        value = old[key] if key in old else make()
        with self._mutex:
            if cleared == self._cleared:  # else it may be made of what nobody should see any more
                if len(self._young) >= self._most:
                    self._old, self._young = self._young, {}
                self._young[key] = value
        return value

    def clear(self) -> None:
        with self._mutex:
            self._cleared += 1
            self._young, self._old = {}, {}
