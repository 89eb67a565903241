"""Runs that wait, as this worker left them: whoever takes one up again need not read a long journal anew.

A loop over thousands of calls is woken hundreds of times. What is kept is only a shortcut: it counts if nobody else
had the run in hand since, which its lease says, and the journal has it all.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Final

from runner.state import RunState
from store.leases import ClaimedRun

LEAST: Final = 100
"""Rows; a shorter journal is read."""

MOST: Final = 8 * 1024 * 1024
"""What all runs that are kept may weigh: characters of JSON in their outputs, and `ROW` for each row."""

ROW: Final = 200


class Suspended:
    """For many threads. `leave`, then `settle` when it is known whether the run's last step was written."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._left: dict[str, RunState] = {}
        self._kept: dict[str, RunState] = {}  # those used last at the end

    def leave(self, run: RunState) -> None:
        """It waits as soon as its last step is written."""
        if run.rows >= LEAST and _weight(run) <= MOST:
            with self._mutex:
                self._left[run.claimed.id] = run

    def settle(self, written: Iterable[tuple[str, bool]]) -> None:
        """(run id, whether its last step was written): of the others somebody else knows more."""
        if not self._left:
            return
        with self._mutex:
            for id_, kept in written:
                run = self._left.pop(id_, None)
                if run is not None and kept:
                    self._kept[id_] = run
            self._make_room()

    def take(self, claimed: Sequence[ClaimedRun]) -> dict[str, RunState]:
        """Those of the runs that are as this worker left them, by id. They are kept no longer."""
        if not self._kept:
            return {}
        with self._mutex:
            found = [(run, self._kept.pop(run.id, None)) for run in claimed]
        return {run.id: state for run, state in found if state is not None and _is_next(run, state)}

    def _make_room(self) -> None:
        weight = sum(map(_weight, self._kept.values()))
        while weight > MOST:
            weight -= _weight(self._kept.pop(next(iter(self._kept))))


def _weight(run: RunState) -> int:
    return run.size + ROW * run.rows


def _is_next(claimed: ClaimedRun, state: RunState) -> bool:
    """A lease counts up when a run is left, and when it is claimed."""
    return claimed.lease == state.claimed.lease + 2 and claimed.attempt == state.claimed.attempt
