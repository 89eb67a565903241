"""The process' book of secrets: asks the sources in their order, and remembers for a while what they said."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from store.database import Connection, StoreUnavailable
from store.secrets.errors import SecretMissing, SecretsUnavailable
from store.secrets.rows import StoredName, stored_names
from store.secrets.source import Source
from store.secrets.stored import StoredSecrets

STORED_SECONDS: Final = 60.0
"""For so long a stored secret is believed where no notification says that it has changed."""

OUTSIDE_SECONDS: Final = 30.0
"""For so long one from elsewhere is believed: nobody tells when it changes."""

MISSING_SECONDS: Final = 5.0
"""For so long nobody is asked again for one that nobody has."""

SILENT_SECONDS: Final = 1.0
"""The same for one that could not be asked for, or not be read."""

MOST: Final = 4096
"""Secrets that are remembered, and as many that were not to be had."""

_Key = tuple[str, str, str]
_Memory = TypeVar("_Memory")


class _Remembered(NamedTuple):
    value: str
    until: float  # by the monotonic clock


class _Refused(NamedTuple):
    error: SecretMissing | SecretsUnavailable
    until: float


class Listed(NamedTuple):
    """A secret that there is, without its value. `environment` empty: for all. `stored`: where Weft keeps it."""

    environment: str
    name: str
    source: str
    stored: StoredName | None = None


class Listing(NamedTuple):
    """All that can be found by asking, and why some sources did not say, by their kind."""

    secrets: Sequence[Listed]
    silent: Mapping[str, str]


class SecretBook:
    """Safe for all threads. One for each process."""

    def __init__(self, stored: StoredSecrets, sources: Sequence[Source]) -> None:
        """`sources` in the order in which they are asked, after what is stored."""
        self.stored = stored
        self._sources = sources
        self._mutex = threading.Lock()
        self._known: dict[_Key, _Remembered] = {}
        self._refused: dict[_Key, _Refused] = {}
        self._forgotten = 0

    def get(self, organisation: str, environment: str, name: str) -> str:
        """The secret's value. Asks others when it is not remembered: not for an event loop, `remembered` is.

        Raises SecretMissing, SecretsUnavailable, SecretUnreadable (one of the latter).
        """
        value = self.remembered(organisation, environment, name)
        return self._find(organisation, environment, name) if value is None else value

    def remembered(self, organisation: str, environment: str, name: str) -> str | None:
        """The value where nobody has to be asked for it, else None."""
        known = self._known.get((organisation, environment, name))
        return known.value if known is not None and known.until > time.monotonic() else None

    def known(self, organisation: str, environment: str) -> frozenset[str]:
        """The names that can be used in an environment, as far as sources say. Values are not read."""
        found = self.listed(organisation).secrets
        return frozenset(one.name for one in found if one.environment in ("", environment))

    def unknown(
        self, connection: Connection, organisation: str, environment: str, names: Collection[str]
    ) -> frozenset[str]:
        """Those of `names` that are surely not there: a source that does not answer might have any.

        A source is asked only for what those before it do not have.
        """
        stored = stored_names(connection, organisation)
        left = set(names) - {one.name for one in stored if one.environment in ("", environment)}
        try:
            for source in self._sources:
                if left:
                    places = source.names(organisation, environment)
                    left -= {one.name for one in places if one.environment in ("", environment)}
        except SecretsUnavailable:
            return frozenset()
        return frozenset(left)

    def listed(self, organisation: str) -> Listing:
        """By name, then environment, then in the order in which they are asked. Raises StoreUnavailable."""
        found = [Listed(one.environment, one.name, "stored", one) for one in self.stored.names(organisation)]
        silent: dict[str, str] = {}
        for source in self._sources:
            try:
                found += [Listed(*place, source.kind) for place in source.names(organisation)]
            except SecretsUnavailable as error:
                silent[source.kind] = str(error)
        return Listing(sorted(found, key=lambda one: (one.name, one.environment)), silent)

    def changed(self, organisation: str) -> None:
        """What is remembered of an organisation is of before: the handler of SECRETS_CHANGED."""
        with self._mutex:
            self._forgotten += 1
            self._known = {key: one for key, one in self._known.items() if key[0] != organisation}
            self._refused = {key: one for key, one in self._refused.items() if key[0] != organisation}

    def forget(self) -> None:
        """All of it: a notification may have been missed."""
        with self._mutex:
            self._forgotten += 1
            self._known, self._refused = {}, {}

    def close(self) -> None:
        for source in self._sources:
            source.close()

    def _find(self, organisation: str, environment: str, name: str) -> str:
        key, forgotten = (organisation, environment, name), self._forgotten
        refused = self._refused.get(key)
        if refused is not None and refused.until > time.monotonic():
            raise refused.error.with_traceback(None)
        try:
            value, lasts = self._asked(organisation, environment, name)
        except (SecretMissing, SecretsUnavailable) as error:
            lasts = MISSING_SECONDS if isinstance(error, SecretMissing) else SILENT_SECONDS
            self._keep(self._refused, key, _Refused(error, time.monotonic() + lasts), forgotten)
            raise
        self._keep(self._known, key, _Remembered(value, time.monotonic() + lasts), forgotten)
        return value

    def _keep(self, memory: dict[_Key, _Memory], key: _Key, one: _Memory, forgotten: int) -> None:
        """Unless something was forgotten since it was asked for: it may be of before."""
        with self._mutex:
            if forgotten == self._forgotten:
                if len(memory) >= MOST:
                    memory.clear()
                memory[key] = one

    def _asked(self, organisation: str, environment: str, name: str) -> tuple[str, float]:
        """The value, and for how many seconds it is believed."""
        value = self._stored(organisation, environment, name)
        if value is not None:
            return value, STORED_SECONDS
        return self._outside(organisation, environment, name), OUTSIDE_SECONDS

    def _stored(self, organisation: str, environment: str, name: str) -> str | None:
        try:
            return self.stored.find(organisation, environment, name)
        except StoreUnavailable as error:
            raise SecretsUnavailable(f"The secret {name} cannot be looked up. {error}") from error

    def _outside(self, organisation: str, environment: str, name: str) -> str:
        for source in self._sources:
            value = source.find(organisation, environment, name)
            if value is not None:
                return value
        looked = (source.looked(organisation, environment, name) for source in self._sources)
        stored = f"Weft's own (of the environment {environment}, and of all)"
        raise SecretMissing(name, [stored, *(place for place in looked if place is not None)])
