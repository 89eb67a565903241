"""Where the tests keep their files: a database, a repository or an environment is made of a thousand small ones."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM = 3 * 2**30
"""Bytes that must be free there; a container has 64 MiB of it unless told otherwise."""


def use_memory() -> None:
    """Have temporary files of this process, and of those that it starts, in memory where the machine lets us.

    A TMPDIR of somebody's choice stays.
    """
    if "TMPDIR" not in os.environ and _is_fit(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None  # ask again


def _is_fit(folder: Path) -> bool:
    if not (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        return False
    programs = not os.statvfs(folder).f_flag & os.ST_NOEXEC  # tests write some, and run them
    return programs and shutil.disk_usage(folder).free >= ROOM
