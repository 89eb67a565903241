"""The loop that keeps a mirror: looks again and again, and at once when asked or when something moved here."""

from __future__ import annotations

import logging
import threading
import time

from reconciler.upstream.mirror import Mirror, Synced
from store.database import REFS_MOVED, Connection, Database, StoreUnavailable, connect, unavailable
from store.upstream import Look, forget_upstream, hear_requests, record_look, try_to_lead

log = logging.getLogger(__name__)

MOST_NAMED = 20  # refs in one line of the log
CHECK = 1.0  # seconds between two looks at whether to stop, and at whether the leader is gone


class MirrorLoop:
    """Any number may run: the one that holds the lock in the database leads, the others stand by."""

    def __init__(self, mirror: Mirror, database: Database, *, every: float) -> None:
        self._mirror = mirror
        self._url = database.url
        self._every = every
        self._before: Look | None = None

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.is_set():
            try:
                with unavailable(), connect(self._url) as connection:
                    self._stand_by(connection, stop)
                    self._lead(connection, stop)
            except StoreUnavailable as error:
                log.warning("upstream_waiting", extra={"error": str(error)})
                stop.wait(CHECK)

    def _stand_by(self, connection: Connection, stop: threading.Event) -> None:
        while not stop.is_set() and not try_to_lead(connection, self._mirror.organisation):
            stop.wait(CHECK)

    def _lead(self, connection: Connection, stop: threading.Event) -> None:
        hear_requests(connection)
        while not stop.is_set():
            self._look(connection, stop)
            self._rest(connection, stop)

    def _look(self, connection: Connection, stop: threading.Event) -> None:
        synced = self._mirror.sync()
        if stop.is_set() and synced.look.error is not None:
            return  # cut off by us
        record_look(connection, self._mirror.organisation, self._mirror.remote.url, synced.look)
        self._log(synced)

    def _rest(self, connection: Connection, stop: threading.Event) -> None:
        """Until the next look is due. What was asked for while the last one was under way counts, too."""
        due = time.monotonic() + self._every
        while not stop.is_set() and (left := due - time.monotonic()) > 0:
            heard = {
                notification.channel
                for notification in connection.notifies(timeout=min(left, CHECK), stop_after=1)
                if notification.payload == self._mirror.organisation
            }
            if heard and (heard != {REFS_MOVED} or self._mirror.has_news()):
                # Whatever else has been asked for by now, the one look answers.
                for _ in connection.notifies(timeout=0):
                    pass
                return

    def _log(self, synced: Synced) -> None:
        """What moved; what is wrong is said when it changes, and not at each look."""
        where = {"organisation": self._mirror.organisation, "upstream": self._mirror.remote.url}
        if synced.here or synced.there:
            summary = synced.plan.summary if synced.plan else ""
            here, there = (" ".join(refs[:MOST_NAMED]) for refs in (synced.here, synced.there))
            log.info("upstream_synced", extra=where | {"here": here, "there": there, "summary": summary})
        look, before = synced.look, self._before
        self._before = look
        if look == before or (before is None and look == Look()):
            return
        if look.error is not None:
            log.error("upstream_failing", extra=where | {"error": look.error})
        elif before is not None and before.error is not None:
            log.info("upstream_back", extra=where)
        for one in look.apart:
            if before is None or one not in before.apart:
                log.error("upstream_apart", extra=where | {"ref": one.ref, "reason": one.reason})
        for other in look.skipped:
            if before is None or other not in before.skipped:
                log.warning("upstream_skipped", extra=where | {"ref": other.ref, "reason": other.reason})


def forget(database: Database, organisation: str, stop: threading.Event) -> None:
    """What an earlier start said of an upstream that this one does not have: once, when the database answers."""
    done = False
    while not done and not stop.is_set():
        try:
            with database.connection() as connection:
                forget_upstream(connection, organisation)
            done = True
        except StoreUnavailable:
            stop.wait(CHECK)
