"""Whom PostgreSQL runs as when Weft itself runs as root, whom it refuses."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from cli.errors import StartError

NAME = "weft-postgres"


@dataclass(frozen=True, kw_only=True)
class SystemUser:
    name: str
    uid: int
    gid: int


def database_user() -> SystemUser | None:
    """The system user for PostgreSQL, made when it is missing; None when this process is not root."""
    if os.geteuid() != 0:
        return None
    return _find() or _create()


def _find() -> SystemUser | None:
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        return None
    return SystemUser(name=NAME, uid=entry.pw_uid, gid=entry.pw_gid)


def _create() -> SystemUser:
    remedy = "set WEFT_DATABASE_URL, or run weft as a user other than root"
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if useradd is None:
        raise StartError(f"PostgreSQL refuses root, and useradd is missing to make the user {NAME}: {remedy}")
    argv = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    said = ""
    for _ in range(20):  # someone else may hold the lock of /etc/passwd, or make the same user
        done = subprocess.run(
            [*argv, "--shell", "/usr/sbin/nologin", NAME], capture_output=True, text=True, check=False
        )
        if (user := _find()) is not None:
            return user
        said = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit code {done.returncode}"
        time.sleep(0.1)
    raise StartError(f"PostgreSQL refuses root, and the user {NAME} cannot be made ({said}): {remedy}")


def can_enter(user: SystemUser, folder: Path) -> bool:
    """Whether `user` may pass through `folder` and all above it. Asks the kernel, which knows ACLs too."""
    asked = subprocess.run(
        ["/bin/sh", "-c", 'test -x "$0"', str(folder)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return asked.returncode == 0


def let_in(user: SystemUser, folder: Path) -> None:
    """Lets `user` pass through a folder of ours (not read it), when it cannot yet."""
    if can_enter(user, folder):
        return
    os.chown(folder, -1, user.gid)
    folder.chmod(folder.stat().st_mode & 0o7777 | 0o010)
