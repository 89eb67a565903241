"""What became of one attempt of one node."""

from __future__ import annotations

from collections.abc import Sequence

from runner.engine import Entry
from schemas.pattern import JSON
from store.journal import ChildRun


class Result:
    """`known` is the journal's entry before it.

    `output` is the entry's as JSON text, where it was made already, `consumed` the ids of the events that it took,
    `uses` the names of the secrets that were filled in.
    """

    entry: Entry
    ended: float | None = None
    log: Sequence[JSON] = ()
    child: ChildRun | None = None
    output: str | None = None
    consumed: Sequence[int] = ()
    uses: frozenset[str] = frozenset()

    def __init__(self, path: str, known: Entry | None, started: float) -> None:
        self.path = path
        self.known = known
        self.started = started
