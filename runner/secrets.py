"""The secrets that runs use: found by name when a node needs them, and starred in what comes back."""

from __future__ import annotations

import threading
from typing import Final, Protocol

from runner.masking import Mask
from runner.nodes.base import NodeError
from store.secrets import SecretMissing, SecretsUnavailable, SecretUnreadable

_MOST_SEEN: Final = 1_000
"""Secrets of one environment that a process remembers to have filled in."""

_MOST_RUNS: Final = 1_000
"""Runs with secrets of one environment whose masks a process keeps: for when they go on, after a wait."""

_TELLING: Final = 8
"""Characters from which on a secret is known again in runs that did not use it themselves."""


class Book(Protocol):
    """`store.secrets.SecretBook`."""

    def get(self, organisation: str, environment: str, name: str) -> str: ...


class Masks:
    """What is starred in which run, of the runs that this process had in hand last."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._of: dict[str, Mask] = {}

    def of(self, run: str, below: Mask | None = None) -> Mask:
        """The run's own. `below` is what a new one stands over."""
        with self._mutex:
            mask = self._of.pop(run, None)
            if mask is None:
                mask = Mask(below)
            self._of[run] = mask
            if len(self._of) > _MOST_RUNS:
                del self._of[next(iter(self._of))]
            return mask

    def of_called(self, run: str, caller: str, seen: Mask) -> Mask | None:
        """Of a run that `caller` called: what is starred there, as far as this process knows it, or else whatever
        it has `seen`. None: nothing secret.
        """
        below = self._of.get(caller) or seen
        return self.of(run, below) if below else None


class Secrets(Protocol):
    """Those of one organisation and environment. `masks` are those of runs."""

    masks: Masks

    def mask_of_called(self, run: str, caller: str) -> Mask | None:
        """What is to be starred in a run that another one called."""
        ...

    def value(self, name: str) -> str:
        """Raises NodeError `unknown_secret`, `secrets_unavailable`."""
        ...


class EnvironmentSecrets:
    def __init__(self, book: Book, organisation: str, environment: str) -> None:
        self._book = book
        self._organisation = organisation
        self._environment = environment
        self.masks = Masks()
        self._seen = Mask()

    def mask_of_called(self, run: str, caller: str) -> Mask | None:
        return self.masks.of_called(run, caller, self._seen)

    def value(self, name: str) -> str:
        """As it is now. Raises NodeError `unknown_secret`, `secrets_unavailable`."""
        try:
            value = self._book.get(self._organisation, self._environment, name)
        except SecretMissing as error:
            hint = f"Set it: weft secret set {name} --environment {self._environment}"
            raise NodeError("unknown_secret", str(error), hint=hint, retryable=False) from None
        except SecretsUnavailable as error:
            passing = not isinstance(error, SecretUnreadable)
            raise NodeError("secrets_unavailable", str(error), retryable=passing) from None
        if len(value) >= _TELLING:
            if len(self._seen) >= _MOST_SEEN:
                self._seen = Mask()
            self._seen.add(value)
        return value


class ProcessSecrets:
    """By organisation and environment, for as long as the process lives."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._mutex = threading.Lock()
        self._of: dict[tuple[str, str], EnvironmentSecrets] = {}

    def of(self, organisation: str, environment: str) -> EnvironmentSecrets:
        with self._mutex:
            found = self._of.get((organisation, environment))
            if found is None:
                found = self._of[organisation, environment] = EnvironmentSecrets(
                    self._book, organisation, environment
                )
            return found
