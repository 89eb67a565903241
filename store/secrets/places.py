"""Where a process finds the secrets, before it has opened them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from store.database import Database
from store.secrets.book import SecretBook
from store.secrets.files import Files
from store.secrets.source import Source
from store.secrets.stored import StoredSecrets
from store.secrets.variables import Variables
from store.secrets.vault import Vault
from store.settings import ServiceSettings, VaultSettings


@dataclass(frozen=True, kw_only=True)
class SecretPlaces:
    """`key` is what stored secrets are under (None: the installation key), `old_key` what it was before.

    `folder`: that of the files; None: there are none. Environment variables are always looked at.
    """

    installation_key: bytes = field(repr=False)
    key: bytes | None = field(repr=False, default=None)
    old_key: bytes | None = field(repr=False, default=None)
    folder: Path | None = None
    vault: VaultSettings | None = None

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        return cls(
            installation_key=settings.installation_key,
            key=settings.secrets_key,
            old_key=settings.secrets_key_old,
            folder=settings.secrets_dir,
            vault=settings.vault,
        )

    def open(self, database: Database) -> SecretBook:
        """Call it after forking."""
        return SecretBook(self.stored(database), list(self._sources()))

    def stored(self, database: Database) -> StoredSecrets:
        """Those alone that Weft keeps itself."""
        old = [key for key in (self.old_key, self.installation_key) if key is not None]
        return StoredSecrets(database, self.key or self.installation_key, old)

    def _sources(self) -> Iterator[Source]:
        """In the order in which they are asked."""
        if self.folder is not None:
            yield Files(self.folder)
        yield Variables()
        if self.vault is not None:
            yield Vault(self.vault)

    def as_json(self) -> dict[str, Any]:
        """All of it, secrets too: for a process that is told on its standard input."""
        return {
            "installation_key": self.installation_key.hex(),
            "key": None if self.key is None else self.key.hex(),
            "old_key": None if self.old_key is None else self.old_key.hex(),
            "folder": None if self.folder is None else str(self.folder),
            "vault": None if self.vault is None else self.vault.as_json(),
        }

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Self:
        return cls(
            installation_key=bytes.fromhex(told["installation_key"]),
            key=None if told["key"] is None else bytes.fromhex(told["key"]),
            old_key=None if told["old_key"] is None else bytes.fromhex(told["old_key"]),
            folder=None if told["folder"] is None else Path(told["folder"]),
            vault=None if told["vault"] is None else VaultSettings(**told["vault"]),
        )


def open_book(database: Database, settings: ServiceSettings) -> SecretBook:
    """The process' book: one for all its threads, made after forking. `close` it in the end.

    Whoever has a Listener gives it `{SECRETS_CHANGED: book.changed}`, and `book.forget` to its `refresh`.
    """
    return SecretPlaces.of(settings).open(database)
