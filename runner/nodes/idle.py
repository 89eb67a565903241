"""Connections that are kept for whoever wants one like it, for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

_MOST = 4  # of one key
_SECONDS = 30.0


class Keepable(Protocol):
    @property
    def fit(self) -> bool:
        """Whether it can still be used, as far as can be seen without asking the other side."""
        ...

    def close(self) -> None:
        """Raises nothing."""
        ...


T = TypeVar("T", bound=Keepable)


class Idle(Generic[T]):
    """For many threads. `made_from` is all that a connection depends on: none of what was before is given out."""

    def __init__(self, *, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._kept: dict[Hashable, list[tuple[float, object, T]]] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def take(self, key: Hashable, made_from: object) -> T | None:
        """One that is kept, and fit; the one that was used last."""
        with self._lock:
            kept = self._kept.get(key, [])
            unfit = []
            found = None
            while kept and found is None:
                _, origin, one = kept.pop()
                if origin == made_from and one.fit:
                    found = one
                else:
                    unfit.append(one)
        for one in unfit:
            one.close()
        return found

    def give(self, key: Hashable, made_from: object, one: T) -> None:
        """Keep it. Where that is one too many, the one that was not used for longest is closed."""
        surplus: list[T] = [one]
        with self._lock:
            if not self._closed:
                kept = self._kept.setdefault(key, [])
                kept.append((time.monotonic(), made_from, one))
                surplus = [old for _, _, old in kept[:-_MOST]]
                del kept[:-_MOST]
                self._arm()
        for old in surplus:
            old.close()

    def forget(self) -> None:
        """Close all that are kept."""
        self._sweep(float("inf"))

    def close(self) -> None:
        """Keep none from now on."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self.forget()

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._seconds, self._look)
            self._timer.daemon = True
            self._timer.start()

    def _look(self) -> None:
        with self._lock:
            self._timer = None
        self._sweep(time.monotonic() - self._seconds)
        with self._lock:
            if self._kept and not self._closed:
                self._arm()

    def _sweep(self, until: float) -> None:
        old: list[T] = []
        with self._lock:
            for key in list(self._kept):
                kept = self._kept[key]
                old += [one for since, _, one in kept if since <= until]
                kept[:] = [entry for entry in kept if entry[0] > until]
                if not kept:
                    del self._kept[key]
        for one in old:
            one.close()
