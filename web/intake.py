"""From a trigger that was heard to a run that is durable: batched as the load asks for.

Commit at once when nothing is in flight, collect while a commit is. A batch is one when idle, dozens under
load, with no timer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import redis

from runner.broker import BellBroker
from store import admission
from store.admission import Answer, Verdict
from store.database import Database, StoreUnavailable
from store.hot import HotConnection
from store.runs import NewRun

log = logging.getLogger(__name__)

MAX_WAITING = 4096
"""Triggers that may wait for their commit; beyond that, callers are told to come back."""

SHARED = 32
"""Runs of light patterns that share one message, and so a worker's thread and commit."""

PATIENCE = 5.0
"""Seconds that a commit may take before its callers, and all who wait behind it, are told to come back."""

SILENCE = 1.0
"""Seconds for which a broker that does not answer is left alone (the sweeper rings for what it misses), and in
which the log says no more than once why triggers were not kept."""


class Overloaded(Exception):
    """More triggers wait than the database takes just now; nothing was accepted."""


class _Waiting(NamedTuple):
    run: NewRun
    light: bool
    verdict: asyncio.Future[Verdict]


class Intake:
    """Belongs to one event loop; one thread of its own commits and rings."""

    def __init__(self, database: Database, broker: BellBroker) -> None:
        self._connection = HotConnection(database)
        self._broker = broker
        self._silent_until = 0.0
        self._told_until = 0.0
        self._waiting: list[_Waiting] = []
        self._busy = False
        self._stuck = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="intake")

    async def accept(self, run: NewRun, *, light: bool) -> Verdict:
        """Whether the run is durable and bound to the live version, and if not, why.

        Raises Overloaded, and StoreUnavailable when the database does not answer: then nobody can say
        whether its last commit took place.
        """
        if self._stuck or len(self._waiting) >= MAX_WAITING:
            raise Overloaded
        loop = asyncio.get_running_loop()
        waiting = _Waiting(run, light, loop.create_future())
        self._waiting.append(waiting)
        if not self._busy:
            self._commit_next(loop)
        return await waiting.verdict

    def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    def _commit_next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch, self._waiting = self._waiting, []
        self._busy = True
        future = loop.run_in_executor(self._thread, self._commit, loop, batch)
        watch = loop.call_later(PATIENCE, self._give_up, batch)
        future.add_done_callback(lambda done: self._settle(loop, batch, done))
        future.add_done_callback(lambda _: watch.cancel())

    def _give_up(self, batch: list[_Waiting]) -> None:
        """Nobody waits for a database that hangs; from here on it takes nothing until it has answered."""
        log.warning("database_hangs", extra={"runs": len(batch), "seconds": PATIENCE})
        self._stuck = True
        unsent, self._waiting = self._waiting, []
        for waiting in batch:
            _fail(waiting, StoreUnavailable(f"The database does not answer within {PATIENCE:g} s."))
        for waiting in unsent:
            _fail(waiting, Overloaded())

    def _settle(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], done: asyncio.Future[None]
    ) -> None:
        self._stuck = False
        if self._waiting:
            self._commit_next(loop)
        else:
            self._busy = False
        error = done.exception()
        if error is not None:
            self._tell(error, len(batch))
            for waiting in batch:
                _fail(waiting, error)

    def _tell(self, error: BaseException, runs: int) -> None:
        """Callers are not told why: whoever runs the service reads it in the log, such as that the disk is full."""
        if time.monotonic() >= self._told_until:
            self._told_until = time.monotonic() + SILENCE
            log.warning("triggers_not_kept", extra={"error": str(error), "runs": runs})

    def _commit(self, loop: asyncio.AbstractEventLoop, batch: Sequence[_Waiting]) -> None:
        """In the thread. The callers have their answer once the runs are durable; the bell rings meanwhile."""
        verdicts = self._connection.run(lambda c: admission.admit(c, [waiting.run for waiting in batch]))
        loop.call_soon_threadsafe(_answer, batch, verdicts)
        ready = [w for w in batch if verdicts[w.run.id].answer is Answer.PENDING]
        others = [run for verdict in verdicts.values() for run in verdict.ring]
        self.ring([w.run.id for w in ready if w.light], [w.run.id for w in ready if not w.light] + others)

    def ring(self, light: Sequence[str], heavy: Sequence[str]) -> None:
        """Announce runs that are durable. A broker that is away is no reason to fail: the sweeper rings again."""
        groups = [light[at : at + SHARED] for at in range(0, len(light), SHARED)] + [[run] for run in heavy]
        if not groups or time.monotonic() < self._silent_until:
            return
        try:
            self._broker.ring(groups)
        except redis.RedisError as error:
            self._silent_until = time.monotonic() + SILENCE
            log.warning("broker_away", extra={"error": str(error), "runs": len(light) + len(heavy)})


def _answer(batch: Sequence[_Waiting], verdicts: Mapping[str, Verdict]) -> None:
    for waiting in batch:
        if not waiting.verdict.done():
            waiting.verdict.set_result(verdicts[waiting.run.id])


def _fail(waiting: _Waiting, error: BaseException) -> None:
    if not waiting.verdict.done():  # its caller may have hung up
        waiting.verdict.set_exception(error)
