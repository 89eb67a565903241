"""Values too large for the database, kept by the hash of their content: in a folder, or in S3 (`s3_blobs.py`).

A key is the SHA-256 of the content in hexadecimal: the same content is stored once, and what is read is checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import Final, Protocol

LARGE: Final = 256 * 1024
"""Bytes of JSON; a value with more of them goes out of the database."""

_KEY: Final = re.compile(r"[0-9a-f]{64}")


class BlobMissing(Exception):
    """There is no such blob, or it is not what was stored. Another attempt finds it no better."""


class BlobsUnavailable(Exception):
    """The store cannot be reached, read or written now. The text says why."""


class Blobs(Protocol):
    """For many threads. Every method raises BlobsUnavailable."""

    def put(self, content: bytes) -> str:
        """Store durably; gives the key. What is there already is not written again."""
        ...

    def get(self, key: str) -> bytes:
        """The content. Raises BlobMissing."""
        ...

    def exists(self, key: str) -> bool: ...


def key_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def checked(key: str, content: bytes) -> bytes:
    """The content, where it is that of the key. Raises BlobMissing."""
    if key_of(content) != key:
        raise BlobMissing(
            f"the blob {key} is broken: its {len(content):,} bytes are not those that were stored"
        )
    return content


def check_key(key: str) -> None:
    """Raises BlobMissing for what no `put` has given."""
    if not _KEY.fullmatch(key):
        raise BlobMissing(f"{key!r:.80} is no key of a blob")


class FolderBlobs:
    """Blobs as files, `ab/cd/<the rest of the key>`. Folders have mode 0700, files 0600.

    A file appears under its name when all of it is on the disk, so a crash leaves no part of one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, content: bytes) -> str:
        key = key_of(content)
        path = self._path(key)
        try:
            if not path.exists():
                self._write(path, content)
        except OSError as error:
            raise BlobsUnavailable(f"{self._folder} cannot be written: {error.strerror}") from error
        return key

    def get(self, key: str) -> bytes:
        check_key(key)
        try:
            return checked(key, self._path(key).read_bytes())
        except FileNotFoundError as error:
            raise BlobMissing(f"there is no blob {key} in {self._folder}") from error
        except OSError as error:
            raise BlobsUnavailable(f"{self._folder} cannot be read: {error.strerror}") from error

    def exists(self, key: str) -> bool:
        check_key(key)
        try:
            return self._path(key).exists()
        except OSError as error:
            raise BlobsUnavailable(f"{self._folder} cannot be read: {error.strerror}") from error

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / key[2:4] / key[4:]

    def _write(self, path: Path, content: bytes) -> None:
        self._make_folder(path.parent)
        part = path.with_name(f".{uuid.uuid4().hex}")
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink()
            raise
        _sync(path.parent)

    def _make_folder(self, folder: Path) -> None:
        """With those above it, each durable in the one that holds it."""
        if folder.is_dir():
            return
        if folder != self._folder:
            self._make_folder(folder.parent)
        else:
            folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
