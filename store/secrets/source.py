"""What every place outside of Weft that secrets are read from can do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Place(NamedTuple):
    """A secret that a source has. `environment` empty: for all."""

    environment: str
    name: str


class Source(Protocol):
    """Read only. `kind` is the word for it in answers."""

    kind: str

    def find(self, organisation: str, environment: str, name: str) -> str | None:
        """The value, or None. Raises SecretsUnavailable."""

    def looked(self, organisation: str, environment: str, name: str) -> str | None:
        """Where `find` looks, in words; None where it does not look for this organisation."""

    def names(self, organisation: str, environment: str | None = None) -> Iterable[Place]:
        """All that it has for an organisation, or those that can be used in one environment (and maybe others).

        Raises SecretsUnavailable.
        """

    def close(self) -> None: ...
