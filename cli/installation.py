"""The data folder: who holds it, and the secrets in it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cli import values
from cli.errors import StartError
from cli.settings import Settings

T = TypeVar("T")


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


def holder(data: Path) -> int | None:
    """The pid of the `weft up` that runs on the folder; None when there is none."""
    try:
        descriptor = os.open(data / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(os.read(descriptor, 20).strip() or 0)
    finally:
        os.close(descriptor)
    return None


def open_token(settings: Settings) -> str:
    """The first token: from the environment, else from its file, which is made when missing."""
    path = token_file(settings.data)
    return settings.admin_token or _from_file(path, values.token, lambda: f"weft_{secrets.token_urlsafe(32)}")


def open_key(settings: Settings) -> bytes:
    """The installation key: from the environment, else from its file, which is made when missing."""
    return settings.installation_key or _from_file(
        key_file(settings.data), values.key, lambda: secrets.token_hex(32)
    )


def find_key(settings: Settings) -> bytes:
    """The key that an installation has already. Raises StartError: one made here would be another one's."""
    path = key_file(settings.data)
    if settings.installation_key is None and not path.exists():
        raise StartError(
            f"WEFT_INSTALLATION_KEY is not set and {path} does not exist:"
            " set it to the same value on all machines (openssl rand -hex 32 makes one)"
        )
    return open_key(settings)


def token_file(data: Path) -> Path:
    return data / "admin-token"


def key_file(data: Path) -> Path:
    return data / "installation-key"


def _from_file(path: Path, parse: Callable[[str], T], make: Callable[[], str]) -> T:
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
