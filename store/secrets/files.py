"""Secrets in files, as Docker and Kubernetes mount them: `{folder}/{environment}/{NAME}`, then `{folder}/{NAME}`.

They belong to the installation: its first organisation alone sees them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from schemas.secret_text import ENVIRONMENT, LARGEST, NAME, without_newline
from store.secrets.errors import SecretUnreadable
from store.secrets.source import Place
from store.settings import FIRST_ORGANISATION

_ABSENT: Final = (errno.ENOENT, errno.ENOTDIR)


class Files:
    """Names are checked before they become paths. Links are followed: whoever writes to the folder is trusted."""

    kind = "file"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find(self, organisation: str, environment: str, name: str) -> str | None:
        for path in self._paths(organisation, environment, name):
            value = _read(path)
            if value is not None:
                return value
        return None

    def looked(self, organisation: str, environment: str, name: str) -> str | None:
        paths = [str(path) for path in self._paths(organisation, environment, name)]
        return f"the files {' and '.join(paths)}" if len(paths) > 1 else next(iter(paths), None)

    def names(self, organisation: str, environment: str | None = None) -> Iterable[Place]:
        if organisation != FIRST_ORGANISATION:
            return []
        return [
            Place(environment, name)
            for environment, folder in self._folders()
            for name in _entries(folder)
            if NAME.fullmatch(name) and (folder / name).is_file()
        ]

    def close(self) -> None:
        pass

    def _paths(self, organisation: str, environment: str, name: str) -> Iterator[Path]:
        if organisation != FIRST_ORGANISATION or not NAME.fullmatch(name):
            return
        if ENVIRONMENT.fullmatch(environment):
            yield self._folder / environment / name
        yield self._folder / name

    def _folders(self) -> Iterator[tuple[str, Path]]:
        """(environment, folder): that of all environments first."""
        yield "", self._folder
        for entry in _entries(self._folder):
            if ENVIRONMENT.fullmatch(entry) and (self._folder / entry).is_dir():
                yield entry, self._folder / entry


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        if error.errno in _ABSENT:
            return []
        raise _unreadable(folder, error.strerror) from error


def _read(path: Path) -> str | None:
    """Without the newline that it ends with, if it does. Raises SecretUnreadable."""
    try:
        # Without waiting: nobody may ever write into a pipe that somebody has put there.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            content = file.read(LARGEST + 2)
    except IsADirectoryError:
        return None  # an environment's, of the same name
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise _unreadable(path, error.strerror) from error
    return _text(path, content)


def _text(path: Path, content: bytes) -> str:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if len(content) <= LARGEST:
            # Not `from`: the error holds the content.
            raise _unreadable(path, f"it is not UTF-8 (byte {error.start})") from None
        text = ""  # cut off within a character
    if len(content) > LARGEST + 1:
        raise _unreadable(path, f"it has more than {LARGEST:,} bytes")
    value = without_newline(text)
    if not value:
        raise _unreadable(path, "it is empty")
    return value


def _unreadable(path: Path, why: str | None) -> SecretUnreadable:
    return SecretUnreadable(f"The secret in {path} cannot be read: {why}. See WEFT_SECRETS_DIR.")
