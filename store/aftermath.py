"""What follows when a run ends badly, in the transaction that ends it: neither can be lost alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from store import circuits, dead_letters, error_runs
from store.concurrency import Slot
from store.database import Connection


class Aftermath(NamedTuple):
    """Runs to ring for, and slots to settle, once the transaction is committed."""

    ring: Sequence[str] = ()
    slots: Sequence[Slot] = ()


def ended_badly(connection: Connection, runs: Sequence[str]) -> Aftermath:
    """`runs` have just ended as failed, timeout or dead_letter."""
    if not runs:
        return Aftermath()
    dead_letters.add(connection, runs)
    circuits.count(connection, runs)
    return Aftermath(*error_runs.start(connection, runs))
