"""One organisation at a time: the lock that every push and reconciler takes, and what it protects."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from reconciler.git.errors import GitError
from reconciler.git.repository import Repository
from schemas.pattern import JSON
from store.database import Connection, Database
from store.repositories import lock_repository, unlock_repository
from store.versions import load_version

UnknownSecrets = Callable[[Connection, str, str, Collection[str]], Collection[str]]
"""Given an organisation, an environment and names of secrets: those that are surely not there."""


def no_secret_is_unknown(
    _: Connection, organisation: str, environment: str, names: Collection[str]
) -> Collection[str]:
    """For those who say nothing of secrets."""
    return ()


class LostVersionError(GitError):
    """A version that is live, and whose content is nowhere: nobody can say how it differs."""


@dataclass(frozen=True, kw_only=True)
class Session:
    """A locked repository: its refs stay as they are until this session moves them."""

    organisation: str
    connection: Connection
    repository: Repository
    refs: Mapping[str, str]
    default_ref: str
    unknown: UnknownSecrets = no_secret_is_unknown

    def unknown_secrets(self, environment: str, names: Collection[str]) -> Collection[str]:
        return self.unknown(self.connection, self.organisation, environment, names)

    def stored(self, version: str) -> Mapping[str, JSON]:
        """A version's content from the database. Raises LostVersionError for one that is not stored."""
        content = load_version(self.connection, version)
        if content is None:
            raise LostVersionError(f"The database has lost version {version[:10]}: run `weft rebuild`.")
        return {"spec": content.spec, "assets": content.assets, "calls": content.calls}


class Sessions:
    """Opens them, one at a time for each organisation, however many threads and processes ask."""

    def __init__(self, database: Database, git: Path, unknown: UnknownSecrets = no_secret_is_unknown) -> None:
        self._database = database
        self._unknown = unknown
        self._git = git
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()

    @contextmanager
    def open(self, organisation: str, quarantine: Path | None = None) -> Iterator[Session]:
        """Waits for the lock. The thread's own lock comes first: pushes that wait here hold no connection."""
        with self._locks_lock:
            lock = self._locks.setdefault(organisation, threading.Lock())
        with lock, self._database.connection() as connection:
            lock_repository(connection, organisation)
            try:
                repository = Repository(self._git / f"{organisation}.git", quarantine=quarantine)
                yield Session(
                    organisation=organisation,
                    connection=connection,
                    repository=repository,
                    refs=repository.refs(),
                    default_ref=repository.default_ref(),
                    unknown=self._unknown,
                )
            finally:
                # A connection that broke has no lock any more, and the push has its answer already.
                with suppress(psycopg.Error):
                    unlock_repository(connection, organisation)
