"""The runs that this worker has in hand, and how word reaches them from outside their thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from runner.cords import Control, Stop
from store.leases import ClaimedRun

WATCHED = 7.0
"""Seconds for which a word that somebody follows a run is believed: it is said again every two."""


class Hands:
    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._held: dict[str, Control] = {}
        self._watched: dict[str, float] = {}
        self.leaving = False

    def take(self, runs: Iterable[ClaimedRun]) -> dict[str, Control]:
        """By run id. All at once: threads that take turns for each run would queue up here."""
        since = time.monotonic()
        controls = {run.id: Control(run.lease, since, run.attempt) for run in runs}
        with self._mutex:
            self._held.update(controls)
            if self.leaving:
                for control in controls.values():
                    control.leaving = True
            for run in self.followed(controls):
                controls[run].live.watched = True
        return controls

    def release(self, runs: Iterable[str]) -> None:
        with self._mutex:
            for run in runs:
                self._held.pop(run, None)

    def held(self, *, for_seconds: float = 0.0) -> list[tuple[str, int]]:
        """(run id, lease) of the runs held for that long already."""
        before = time.monotonic() - for_seconds
        with self._mutex:
            return [(run, control.lease) for run, control in self._held.items() if control.since <= before]

    def watch(self, runs: Iterable[str]) -> None:
        """Somebody follows these runs, here or elsewhere, for the next seconds."""
        until = time.monotonic() + WATCHED
        with self._mutex:
            for run in runs:
                self._watched[run] = until
                if run in self._held:
                    self._held[run].live.watched = True

    def watched(self) -> list[tuple[str, Control]]:
        """The runs in hand that somebody follows."""
        with self._mutex:
            now = time.monotonic()
            for run in [run for run, until in self._watched.items() if until < now]:
                del self._watched[run]
                if run in self._held:
                    self._held[run].live.watched = False
            return [(run, self._held[run]) for run in self._watched if run in self._held]

    def followed(self, runs: Iterable[str]) -> list[str]:
        """Those of `runs` that somebody follows."""
        return [run for run in runs if run in self._watched] if self._watched else []

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
