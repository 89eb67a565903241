"""What follows when a run ends badly, in the transaction that ends it: neither can be lost alone."""

from __future__ import annotations

from collections.abc import Sequence

from store import circuits, dead_letters
from store.database import Connection


def ended_badly(connection: Connection, runs: Sequence[str]) -> None:
    """`runs` have just ended as failed, timeout or dead_letter."""
    if runs:
        dead_letters.add(connection, runs)
        circuits.count(connection, runs)
