"""The controller's thread for pull requests: takes up what is due, again and again."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from reconciler.forges.address import ForgeAddress, ForgeKind, forge_address, repository_name
from reconciler.forges.errors import ForgeError, RefusedError, TryLaterError, wait_after
from reconciler.forges.forge import Forge
from reconciler.forges.teller import Teller
from reconciler.git.errors import GitError
from store.database import FORGE_EVENT, REFS_MOVED, Database, StoreError
from store.forge import (
    Place,
    PullRequest,
    add_event,
    claim_due,
    give_up,
    known_kinds,
    mark_outdated,
    missed,
    retry,
    seconds_to_next,
)
from store.notifications import Listener

log = logging.getLogger(__name__)

EVERY = 30.0  # seconds between two looks, whatever is heard
LIST_EVERY = 3600.0  # seconds; a list of what is open shows what no event has told
LIST_AGAIN = 60.0  # seconds, when the forge did not answer
AFTER_FAILURE = 2.0  # seconds, when the database was away

MOST_NAMED = 20  # pull requests in one line of the log
SHORTEST = 0.05

Open = Callable[[ForgeAddress], AbstractContextManager[Forge]]


@dataclass(frozen=True, kw_only=True)
class Mirrored:
    """`upstream` is its URL, without what opens it; `api` is WEFT_FORGE_API, if set."""

    organisation: str
    upstream: str
    api: str | None = None


class PullRequestLoop:
    """Any number may run: a claim decides who does what."""

    def __init__(self, database: Database, teller: Teller, open_forge: Open, place: Mirrored) -> None:
        self._database = database
        self._teller = teller
        self._open = open_forge
        self._place = place
        self._here = (place.organisation, repository_name(place.upstream, place.api))
        self._heard = threading.Event()
        self._list_at = time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; `close` hurries it."""
        listener = Listener(
            self._database, {FORGE_EVENT: self._hear, REFS_MOVED: self._hear}, self._heard.set
        )
        listener.start()
        try:
            while not stop.is_set():
                self._heard.clear()
                pause = self.catch_up() or self.tick(stop)
                self._heard.wait(pause)
        finally:
            listener.stop()

    def close(self) -> None:
        """Ends what is under way, so that `run` comes back soon."""
        self._teller.close()
        self._heard.set()

    def catch_up(self) -> float | None:
        """Takes up what happened while nobody could take events: at the start, after the database was away, and
        now and then. Gives the seconds until the database may be there.
        """
        try:
            if time.monotonic() >= self._list_at:
                self._list_at = time.monotonic() + LIST_EVERY
                for kind in self._kinds():
                    self._list(kind)
        except StoreError as error:
            return self._without_database(error)
        return None

    def tick(self, stop: threading.Event) -> float:
        """Does what is due. Gives the seconds until more is."""
        try:
            while not stop.is_set() and self._one():
                pass
            return self._pause()
        except StoreError as error:
            return self._without_database(error)

    def _without_database(self, error: StoreError) -> float:
        """Events were refused meanwhile, and few forges send them again."""
        log.warning("pull_requests_waiting", extra={"error": str(error)})
        self._list_at = time.monotonic()
        return AFTER_FAILURE

    def _kinds(self) -> list[ForgeKind]:
        """Those that have sent an event: a new installation comments on nothing before it is told to."""
        with self._database.connection() as connection:
            return [ForgeKind(kind) for kind in known_kinds(connection, *self._here)]

    def _list(self, kind: ForgeKind) -> None:
        organisation, repository = self._here
        about = {"forge": str(kind), "repository": repository}
        try:
            with self._forge(kind) as forge:
                heads = dict(forge.open_ones())
        except ForgeError as error:
            log.warning("pull_requests_not_listed", extra=about | {"error": str(error)})
            if isinstance(error, TryLaterError):
                self._list_at = time.monotonic() + (error.wait or LIST_AGAIN)
            return
        place = Place(organisation, kind, repository)
        with self._database.connection() as connection:
            found = missed(connection, place, heads)
            for number in found:
                add_event(connection, place, number)
        if found:
            log.info("pull_requests_missed", extra=about | {"numbers": found[:MOST_NAMED]})

    def _one(self) -> bool:
        with self._database.connection() as connection:
            mark_outdated(connection, *self._here)
            request = claim_due(connection, *self._here)
        if request is not None:
            self._take_up(request)
        return request is not None

    def _take_up(self, request: PullRequest) -> None:
        try:
            with self._forge(ForgeKind(request.forge)) as forge:
                self._teller.work(request, forge)
        except TryLaterError as error:
            self._later(request, error, wait_after(request.attempts, error.wait))
        except GitError as error:
            self._later(request, TryLaterError(str(error)), wait_after(request.attempts, None))
        except RefusedError as error:
            self._given_up(request, error)
        except StoreError:
            raise
        except Exception as error:
            log.exception("pull_request_broken", extra=_about(request))
            self._given_up(request, ForgeError(f"Weft failed at this ({type(error).__name__}): see its log"))

    def _forge(self, kind: ForgeKind) -> AbstractContextManager[Forge]:
        return self._open(forge_address(kind, self._place.upstream, self._place.api))

    def _later(self, request: PullRequest, error: TryLaterError, wait: float | None) -> None:
        if wait is None:
            self._given_up(request, error)
            return
        log.warning("plan_waiting", extra=_about(request) | {"error": str(error), "again_in": wait})
        with self._database.connection() as connection:
            retry(connection, request, str(error), after=wait)

    def _given_up(self, request: PullRequest, error: ForgeError) -> None:
        log.error("plan_not_told", extra=_about(request) | {"error": str(error)})
        self._end_status(request)
        with self._database.connection() as connection:
            give_up(connection, request, str(error))

    def _end_status(self, request: PullRequest) -> None:
        try:
            with self._forge(ForgeKind(request.forge)) as forge:
                self._teller.give_up(request, forge)
        except (ForgeError, GitError) as error:
            log.info("status_not_set", extra=_about(request) | {"error": str(error)})
        except Exception:  # whatever Weft failed at may well fail again
            log.exception("status_not_set", extra=_about(request))

    def _pause(self) -> float:
        with self._database.connection() as connection:
            wait = seconds_to_next(connection, *self._here)
        return EVERY if wait is None else max(SHORTEST, min(wait, EVERY))

    def _hear(self, _payload: str) -> None:
        self._heard.set()


def _about(request: PullRequest) -> dict[str, object]:
    return {"forge": request.forge, "repository": request.repository, "number": request.number}
