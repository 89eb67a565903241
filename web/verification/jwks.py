"""The keys of issuers of JWTs: fetched when a token first needs them, kept, and not asked for more than is good.

A key that a token names and that is not known may be new: then the issuer is asked again, but no more often than
every `FLOOR` seconds, so that forged tokens do not make us hammer it. Keys older than `FRESH` are renewed while
they are used; while the issuer is away, they are believed until they are `STALE`.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from web.verification.call import Reason, Unverified
from web.verification.sources import FetchError, KeySource

if TYPE_CHECKING:
    from jwt import PyJWK

    from web.verification.issuers import Issuers
    from web.verification.key_sets import KeySet

log = logging.getLogger(__name__)

FRESH: Final = 600.0
"""Seconds after which keys are renewed."""

STALE: Final = 3600.0
"""Seconds after which keys that could not be renewed are not believed any more."""

FLOOR: Final = 30.0
"""Seconds between two looks at an issuer."""

AGAIN: Final = 5.0
"""Seconds after which an issuer that did not answer is asked again."""

_THREADS: Final = 4
_MOST_SOURCES: Final = 256


class Keys:
    """Belongs to one event loop, which waits for no issuer: threads of its own do. `clock`: monotonic seconds."""

    def __init__(self, issuers: Issuers | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuers = issuers
        self._clock = clock
        self._mutex = threading.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="issuer-keys")
        self._kept: OrderedDict[tuple[KeySource, tuple[str, ...]], _Kept] = OrderedDict()

    def close(self) -> None:
        """In the loop. Who waits for keys is cancelled."""
        for kept in self._kept.values():
            if kept.looking is not None:
                kept.looking.cancel()
        if self._issuers is not None:
            self._issuers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def get(
        self, source: KeySource, allow: tuple[str, ...], key_id: str | None, algorithm: str
    ) -> Sequence[PyJWK]:
        """The keys that a token may be signed with, one at least. Raises Unverified.

        `allow` is the `network.allow` of the project that asks: what one may reach is none of another's.
        """
        kept = self._entry(source, allow)
        found = kept.find(key_id, algorithm, self._clock())
        if found and not kept.is_fresh(self._clock()):
            self._look(source, allow, kept)
        elif not found:
            looking = self._look(source, allow, kept)
            if looking is not None:
                await asyncio.shield(looking)
                found = kept.find(key_id, algorithm, self._clock())
        if not found:
            raise kept.nothing()
        return found

    def _entry(self, source: KeySource, allow: tuple[str, ...]) -> _Kept:
        kept = self._kept.get((source, allow))
        if kept is None:
            kept = self._kept[source, allow] = _Kept()
            if len(self._kept) > _MOST_SOURCES:
                self._kept.popitem(last=False)
        self._kept.move_to_end((source, allow))
        return kept

    def _look(self, source: KeySource, allow: tuple[str, ...], kept: _Kept) -> asyncio.Task[None] | None:
        """The look that is under way, or a new one; None where it is too soon for one."""
        if kept.looking is None and kept.may_look(self._clock()):
            kept.looking = asyncio.ensure_future(self._refresh(source, allow, kept))
        return kept.looking

    async def _refresh(self, source: KeySource, allow: tuple[str, ...], kept: _Kept) -> None:
        loop = asyncio.get_running_loop()
        try:
            keys = await loop.run_in_executor(self._threads, self._ask, source, allow)
            kept.renew(keys, self._clock())
        except FetchError as error:
            kept.failed(self._clock())
            log.warning("issuer_keys_unavailable", extra={"issuer": source.issuer, "error": str(error)})
        finally:
            kept.looking = None

    def _ask(self, source: KeySource, allow: tuple[str, ...]) -> KeySet:
        """In a thread. Few rules have issuers, and what asks them takes long to read: it is when it is needed."""
        with self._mutex:
            if self._issuers is None:
                self._issuers = importlib.import_module("web.verification.issuers").Issuers()
        return self._issuers.keys(source, allow)


class _Kept:
    """What is known of one issuer's keys. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.looking: asyncio.Task[None] | None = None
        self._keys: KeySet | None = None
        self._since = 0.0
        self._next_look = float("-inf")
        self._away = False

    def find(self, key_id: str | None, algorithm: str, now: float) -> Sequence[PyJWK]:
        if self._keys is None or now - self._since > STALE:
            return ()
        return self._keys.find(key_id, algorithm)

    def is_fresh(self, now: float) -> bool:
        return now - self._since <= FRESH

    def may_look(self, now: float) -> bool:
        return now >= self._next_look

    def renew(self, keys: KeySet, now: float) -> None:
        self._keys, self._since, self._next_look, self._away = keys, now, now + FLOOR, False

    def failed(self, now: float) -> None:
        self._next_look, self._away = now + AGAIN, True

    def nothing(self) -> Unverified:
        if self._away:
            return Unverified(
                Reason.NO_KEYS,
                "The issuer's keys cannot be had just now, so no token can be checked: try again.",
            )
        return Unverified(Reason.UNKNOWN_KEY, "The issuer has no such key as the token is signed with.")
