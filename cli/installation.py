"""The data folder: who holds it, and the secrets in it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from cli import values
from cli.errors import StartError
from cli.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """Of one installation; the same on all its machines."""

    admin_token: str = field(repr=False)
    installation_key: bytes = field(repr=False)


def make_data_folder(data: Path) -> None:
    """Makes the folder (mode 0700) when missing. Raises StartError when it cannot be written."""
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = data / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StartError(
            f"The data folder {data} cannot be written ({error.strerror}):"
            " choose another with --data (or WEFT_DATA)"
        ) from error


def hold(data: Path) -> int:
    """Takes the folder's lock for as long as this process lives.

    Gives the descriptor, which forked children must close. Raises StartError naming its holder.
    """
    descriptor = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StartError(
            f"weft up already runs on {data} (pid {pid}): stop it, or choose another folder with --data"
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
    return descriptor


def open_secrets(settings: Settings) -> Secrets:
    """The token and the key: from the environment, else from their files, which are made when missing."""
    token = settings.admin_token or _from_file(
        token_file(settings.data), lambda: f"weft_{secrets.token_urlsafe(32)}", values.token
    )
    key = settings.installation_key or _from_file(
        settings.data / "installation-key", lambda: secrets.token_hex(32), values.key
    )
    return Secrets(admin_token=token, installation_key=key)


def token_file(data: Path) -> Path:
    return data / "admin-token"


def _from_file(path: Path, make: Callable[[], str], parse: Callable[[str], T]) -> T:
    if not path.exists():
        _write_once(path, make())
    try:
        return parse(path.read_text().strip())
    except (OSError, ValueError) as error:
        raise StartError(f"{path} cannot be used: restore it from a backup") from error


def _write_once(path: Path, text: str) -> None:
    """Writes a file that nobody ever sees half written, and that the first of several writers decides."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
