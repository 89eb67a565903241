"""What a worker takes from the store and writes there: many runs at a time, again and again until it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from store import journal, leases
from store.batch import GroupCommit
from store.database import Database
from store.hot import HotConnection
from store.journal import Outcome, Step
from store.leases import ClaimedRun

PATIENCE: Final = 30.0
"""Seconds for which a result is kept, and a message in hand, while the database is away."""


class Ledger:
    """For the threads of one worker, `name`, which share its commits."""

    def __init__(self, database: Database, name: str) -> None:
        self._name = name
        # A claim whose answer was lost finds nothing when it is repeated; the lease frees what it had taken.
        # It has to be durable: a database that forgot it in a crash would have the first node done twice.
        self._claims = HotConnection(database, patience=PATIENCE)
        self._writes = HotConnection(database, patience=PATIENCE)
        self._claim = GroupCommit(self._claim_all)
        self._write = GroupCommit(self._write_all)

    def claim(self, runs: Sequence[str]) -> list[ClaimedRun]:
        """Those of the runs that are ready. Raises StoreUnavailable."""
        [claimed] = self._claim.submit([runs])
        return claimed

    def claim_alone(self, run: str) -> list[ClaimedRun]:
        """A run under which workers died, in a process that has nothing else in hand. Raises StoreUnavailable."""
        return self._claims.run(lambda connection: leases.claim(connection, self._name, [run], alone=True))

    def write(self, steps: Sequence[Step]) -> Sequence[Outcome]:
        """Make durable. Raises StoreUnavailable, and StoreRefused for what the database will never take."""
        return self._write.submit(steps)

    def close(self) -> None:
        self._claims.close()
        self._writes.close()

    def _claim_all(self, requests: Sequence[Sequence[str]]) -> list[list[ClaimedRun]]:
        ids = list(dict.fromkeys(run for request in requests for run in request))
        claimed = {run.id: run for run in self._claims.run(lambda c: leases.claim(c, self._name, ids))}
        return [[claimed.pop(run) for run in request if run in claimed] for request in requests]

    def _write_all(self, steps: Sequence[Step]) -> list[Outcome]:
        return self._writes.run(lambda connection: journal.record(connection, steps))
