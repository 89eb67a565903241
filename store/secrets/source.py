"""What every place outside of Weft that secrets are read from can do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
"""What a secret may be called."""

LARGEST: Final = 64 * 1024
"""Bytes of a secret."""

ENVIRONMENT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


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
