"""A worker process: Dramatiq's threads take run ids from the bell, the executor takes runs as far as they go."""

from __future__ import annotations

import logging
import os
import signal
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import dramatiq.worker
import redis

from runner import endings
from runner.broker import BellBroker, BellWorker, make_actor
from runner.cords import Stop
from runner.executor import Executor
from runner.hands import Hands
from runner.heart import Heart
from runner.ledger import Ledger
from runner.nodes.kinds import Kinds
from runner.nodes.turns import Turns
from runner.solo import Addresses, Solo
from runner.state import RunState
from runner.teller import Teller
from store import concurrency, leases, spans
from store.concurrency import Slot
from store.database import (
    DEPLOYMENTS_CHANGED,
    RUN_CANCELLED,
    RUN_WATCHED,
    RUN_WOKEN,
    SECRETS_CHANGED,
    TURN_TAKEN,
    Database,
    StoreRefused,
    StoreUnavailable,
)
from store.journal import Outcome, Step
from store.leases import ClaimedRun
from store.notifications import Listener
from store.runs import RunStatus
from store.s3_blobs import BlobPlace
from store.secrets import SecretPlaces
from store.settings import ServiceSettings
from store.spans import Journaled

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds that nodes at work have to finish when the worker is asked to stop."""

NICE = 5
"""Added to the process' niceness, and inherited by its script hosts: under load, triggers are acknowledged before
the work that they start is done.
"""

# Three seconds by default, read when Dramatiq is imported: too long for a broker that restarts in 40 ms.
dramatiq.worker.CONSUMER_RESTART_DELAY_SECS = 0.3


class Worker:
    """`name` is what leases and fetched messages are held under: random, new for every process.

    `databases` is the folder of the databases that are files.
    """

    def __init__(
        self,
        database: Database,
        redis_url: str,
        *,
        name: str,
        threads: int,
        secrets: SecretPlaces,
        databases: Path | None = None,
        blobs: BlobPlace | None = None,
    ) -> None:
        self._database = database
        self._hands = Hands()
        self._broker = BellBroker(redis_url, name=name)
        self._ledger = Ledger(database, name)
        self._turns = Turns(database)
        self._kinds = Kinds(databases, self._turns)
        opened = None if blobs is None else blobs.open()
        self._book = secrets.open(database)
        self._executor = Executor(database, self._kinds.handlers, self._record, self._book, opened)
        self._teller = Teller(database, self._hands)
        folder = None if databases is None else str(databases)
        addresses = Addresses(database.url, redis_url, folder, secrets.as_json(), blobs)
        self._solo = Solo(addresses, self._died_alone)
        self._threads = threads
        self._left_over: list[str] = []
        self._heart = Heart(database, self._hands, self._ring)

    def replace(self, dead: Sequence[str] | None) -> None:
        """Free the runs of workers that died (None: of all there ever were) and announce them."""
        with self._database.connection() as connection:
            freed = leases.free(connection, dead)
        for name in dead or ():
            self._broker.adopt(name)
        self._ring(freed)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; then finish or give back what is in hand."""
        make_actor(self._broker, self.execute)
        worker = BellWorker(self._broker, threads=self._threads)
        with self._alive():
            worker.start()
            stop.wait()
            self._leave(worker)

    def execute(self, ids: list[str]) -> None:
        """The actor. Whatever goes wrong here, the store still knows that the runs are not done."""
        try:
            claimed = self._ledger.claim(ids)
            self._advance(claimed)
            if len(claimed) < len(ids):
                self._isolate(set(ids).difference(run.id for run in claimed))
        except StoreUnavailable as error:
            log.warning("database_away", extra={"error": str(error), "runs": len(ids)})

    def run_alone(self, run: str) -> None:
        """Execute a run under which workers died, as far as it goes; in a process of its own."""
        with self._alive():
            self._advance(self._ledger.claim_alone(run))
            self._heart.give_back()

    def give_up(self) -> None:
        """Give back what is in hand as soon as that can be done."""
        self._hands.leave()
        self._pull_all()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """While it hears, holds its runs, and tells. It is closed with that."""
        listener = Listener(self._database, self._handlers(), self._refresh)
        listener.start()
        self._heart.start()
        self._teller.start()
        try:
            yield
        finally:
            self._heart.stop()
            listener.stop()
            self._teller.stop()
            self._close()

    def _isolate(self, runs: Collection[str]) -> None:
        """What was not claimed went to somebody else, mostly; or it is to be executed alone."""
        with self._database.connection() as connection:
            suspects = leases.suspects(connection, runs)
        self._solo.take(suspects)

    def _died_alone(self, name: str) -> None:
        with self._database.connection() as connection:
            self._ring(leases.free_alone(connection, name))

    def _advance(self, claimed: Sequence[ClaimedRun]) -> None:
        controls = self._hands.take(claimed)
        self._teller.changed(controls)
        open_ = {run.id: run.lease for run in claimed}
        try:
            known = self._known(claimed)
            done = [self._executor.advance(run, controls[run.id], known.get(run.id, ())) for run in claimed]
            steps = [step for step in done if step is not None]
            self._conclude(claimed, steps)
            for step in steps:
                del open_[step.run_id]
        finally:
            self._hands.release(controls)
            self._executor.suspended.settle((run, False) for run in open_)
            # Ours no more, or the database was away.
            self._heart.abandon(open_.items())

    def _conclude(self, claimed: Sequence[ClaimedRun], steps: Sequence[Step]) -> None:
        """Record what became of runs. One whose end the database refuses fails, instead of ending for ever."""
        try:
            self._record(steps)
        except StoreRefused:
            runs = {run.id: run for run in claimed}
            for step in steps:
                try:
                    self._record([step])
                except StoreRefused as error:
                    log.exception("run_unwritable", extra={"run": step.run_id})
                    self._record([endings.broken(runs[step.run_id], error)])

    def _known(self, claimed: Sequence[ClaimedRun]) -> Mapping[str, RunState | Sequence[Journaled]]:
        """How this worker left them, or the journals, by run id: a first lease finds an empty one."""
        left = self._executor.suspended.take(claimed)
        resumed = [(run.id, run.attempt) for run in claimed if run.lease > 1 and run.id not in left]
        if not resumed:
            return left
        with self._database.connection() as connection:
            return {**spans.read(connection, resumed), **left}

    def _record(self, steps: Sequence[Step]) -> Sequence[Outcome]:
        if not steps:
            return ()
        outcomes = self._ledger.write(steps)
        self._executor.suspended.settle(_written(steps, outcomes))
        self._teller.changed(step.run_id for step in steps)
        self._ring([run for outcome in outcomes for run in outcome.ring])
        slots = [slot for outcome in outcomes for slot in outcome.slots]
        if slots:
            self._settle(slots)
        return outcomes

    def _settle(self, slots: Sequence[Slot]) -> None:
        """Let the next ones begin. What is committed is committed: if this fails, the sweeper does it."""
        try:
            with self._database.connection() as connection:
                self._ring(concurrency.settle(connection, slots))
        except StoreUnavailable as error:
            log.warning("slots_not_settled", extra={"error": str(error), "slots": len(slots)})

    def _ring(self, runs: Sequence[str]) -> None:
        if self._hands.leaving:
            self._left_over.extend(runs)  # rung when nobody here listens any more
        elif runs:
            try:
                self._broker.ring([run] for run in runs)
            except redis.RedisError as error:
                # The sweeper rings for them again.
                log.warning("broker_away", extra={"error": str(error), "runs": len(runs)})

    def _handlers(self) -> dict[str, Callable[[str], None]]:
        return {
            RUN_WATCHED: self._teller.watch,
            RUN_CANCELLED: lambda run: self._hands.pull(run, Stop.CANCELLED),
            RUN_WOKEN: self._hands.poke,
            TURN_TAKEN: self._turns.heard,
            DEPLOYMENTS_CHANGED: lambda _: self._forget(),
            SECRETS_CHANGED: self._book.changed,
        }

    def _forget(self) -> None:
        self._executor.contexts.forget()
        self._kinds.forget()

    def _refresh(self) -> None:
        """Notifications may have been missed."""
        self._forget()
        self._book.forget()

    def _leave(self, worker: BellWorker) -> None:
        self._hands.leave()
        impatience = threading.Timer(GRACE, self._pull_all)
        impatience.start()
        self._solo.leave()
        worker.stop(timeout=int((GRACE + 2) * 1000))
        impatience.cancel()
        held = self._hands.held()
        if held:
            with self._database.connection() as connection:
                self._left_over.extend(leases.give_back(connection, held))
        with suppress(redis.RedisError):
            self._broker.ring([run] for run in self._left_over)
            # Stock puts back in silence what it had fetched: tell those who wait.
            self._broker.run([], bells=self._threads)

    def _pull_all(self) -> None:
        for run, _ in self._hands.held():
            self._hands.pull(run, Stop.LEAVING)

    def _close(self) -> None:
        self._solo.close()
        self._executor.close()
        self._kinds.close()
        self._turns.close()
        self._ledger.close()
        self._book.close()
        self._broker.close()


def _written(steps: Sequence[Step], outcomes: Sequence[Outcome]) -> Iterator[tuple[str, bool]]:
    """(run id, whether it waits now) of the runs that were let go."""
    for step, outcome in zip(steps, outcomes, strict=True):
        if step.status is not RunStatus.RUNNING:
            yield step.run_id, outcome.kept and step.status is RunStatus.WAITING


def serve(settings: ServiceSettings, *, worker_id: str | None, replaces: tuple[str, ...]) -> None:
    """Work until SIGTERM; the signature is that of every part."""
    os.nice(NICE)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    database = Database(settings.database_url)
    worker = Worker(
        database,
        settings.redis_url,
        name=worker_id or uuid.uuid4().hex,
        threads=settings.threads,
        secrets=SecretPlaces.of(settings),
        databases=settings.data / "databases",
        blobs=BlobPlace(settings.blobs, settings.blobs_endpoint),
    )
    if replaces:
        worker.replace(replaces)
    worker.run(stop)
    database.close()
