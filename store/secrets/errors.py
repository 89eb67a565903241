"""Why there is no secret. No message holds a value."""

from __future__ import annotations

from collections.abc import Sequence


class SecretMissing(Exception):
    """No source has it. `looked` are the places where it was looked for, in order."""

    def __init__(self, name: str, looked: Sequence[str]) -> None:
        self.name = name
        self.looked = tuple(looked)
        super().__init__(f"There is no secret {name}. It was looked for in {_listed(self.looked)}.")


class SecretsUnavailable(Exception):
    """A source does not answer: the secret may be there. The message says which one, and what to do."""


class SecretUnreadable(SecretsUnavailable):
    """It is there and cannot be read, and that will not pass by itself."""


def _listed(places: Sequence[str]) -> str:
    return places[0] if len(places) == 1 else f"{', '.join(places[:-1])} and {places[-1]}"
