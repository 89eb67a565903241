"""The PostgreSQL of a supervisor that was killed: it is still shutting down when the next one starts."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from cli.errors import StartError


def wait_for_predecessor(cluster: Path, timeout: float = 30.0) -> None:
    """Returns once no process works in `cluster`. Raises StartError after `timeout` seconds.

    PostgreSQL's processes live in their data folder (`chdir`), so this needs no pid file, which may be stale.
    The caller holds the data folder's lock: whoever is in there has lost its supervisor.
    """
    deadline = time.monotonic() + timeout
    for pid in _residents(cluster):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGINT)
        if not _wait_for_end(pid, deadline):
            raise StartError(f"PostgreSQL of an earlier start still runs in {cluster}: stop pid {pid}")


def _residents(cluster: Path) -> Iterator[int]:
    place = cluster.stat()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):  # it ended meanwhile, or it is another user's
            where = (process / "cwd").stat()
            if (where.st_dev, where.st_ino) == (place.st_dev, place.st_ino):
                yield int(process.name)


def _wait_for_end(pid: int, deadline: float) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        return bool(ready)
    finally:
        os.close(descriptor)
