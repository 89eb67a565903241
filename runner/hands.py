"""The runs that this worker has in hand, and how word reaches them from outside their thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from runner.state import Control, Stop


class Hands:
    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: dict[str, Control] = {}
        self.leaving = False

    def take(self, run: str, lease: int) -> Control:
        control = Control(lease, time.monotonic())
        with self._mutex:
            control.leaving = self.leaving
            self._held[run] = control
        return control

    def release(self, runs: Iterable[str]) -> None:
        with self._mutex:
            for run in runs:
                self._held.pop(run, None)

    def held(self, *, for_seconds: float = 0.0) -> list[tuple[str, int]]:
        """(run id, lease) of the runs held for that long already."""
        before = time.monotonic() - for_seconds
        with self._mutex:
            return [(run, control.lease) for run, control in self._held.items() if control.since <= before]

    def pull(self, run: str, reason: Stop) -> None:
        with self._mutex:
            control = self._held.get(run)
        if control is not None:
            control.pull(reason)

    def poke(self, run: str) -> None:
        """What the run waits for, beside what it is at, may have happened."""
        with self._mutex:
            control = self._held.get(run)
        if control is not None:
            control.poke()

    def leave(self) -> None:
        """From now on, every run is given back before its next effect."""
        with self._mutex:
            self.leaving = True
            for control in self._held.values():
                control.leaving = True
