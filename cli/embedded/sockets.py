"""Where the embedded servers' Unix sockets are: a path of theirs may have 107 bytes and no more."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

LIMIT = 107  # bytes: sizeof(sockaddr_un.sun_path) - 1
LONGEST = "postgresql/.s.PGSQL.5432"  # of the names below


def socket_folder(data: Path) -> Path:
    """The folder of the sockets of the installation in `data`, made when missing.

    It is `data/run`; where that would be too long, `data/run` is a link to a short folder, so that every
    process which knows the data folder finds it, whatever its own TMPDIR is.
    """
    link = data / "run"
    if len(os.fsencode(link / LONGEST)) <= LIMIT:
        link.mkdir(mode=0o700, exist_ok=True)
        return link
    if not _is_ours(link):
        link.unlink(missing_ok=True)
        link.symlink_to(tempfile.mkdtemp(prefix="weft-", dir=_short_folder()))
    return link.resolve()


def find_socket(data: Path, name: str) -> Path | None:
    """The socket `name` of the installation in `data`, if there is one that this user can reach."""
    socket = (data / "run").resolve() / name
    try:
        return socket if socket.is_socket() else None
    except PermissionError:
        return None


def _is_ours(link: Path) -> bool:
    target = link.resolve()
    return link.is_symlink() and target.is_dir() and target.stat().st_uid == os.geteuid()


def _short_folder() -> str:
    candidates = [os.environ.get("XDG_RUNTIME_DIR", ""), "/run", tempfile.gettempdir(), "/tmp"]  # noqa: S108 (mkdtemp follows)
    fits = [c for c in candidates if c and len(os.fsencode(c)) < 60 and os.access(c, os.W_OK | os.X_OK)]
    return fits[0]
