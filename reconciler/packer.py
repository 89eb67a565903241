"""Keeps repositories quick: thousands of files of commits and pushes become one pack. No object is ever deleted."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from reconciler.git.errors import GitError
from reconciler.git.program import run_git
from reconciler.reconciler import Reconciler

log = logging.getLogger(__name__)

EVERY = 3600.0  # seconds between two looks
MOST_LOOSE = 5_000  # objects; an action leaves about four
MOST_PACKS = 50  # a push of many objects leaves one, and so does each fetch from an upstream

# Unreachable objects are kept: one of them may belong to a push whose refs have not moved yet.
REPACK = ("repack", "-a", "-d", "--keep-unreachable", "-l", "--quiet")
MODESTLY = ("-c", "pack.threads=1", "-c", "pack.windowMemory=64m")


class Packer:
    """Looks at every organisation's repository now and then, beside pushes and actions."""

    def __init__(self, reconciler: Reconciler, *, every: float = EVERY) -> None:
        self._reconciler = reconciler
        self._every = every

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; one that is under way then ends with its process."""
        while not stop.wait(self._every):
            for organisation in self._reconciler.organisations():
                self._look(organisation)

    def _look(self, organisation: str) -> None:
        try:
            if pack(self._reconciler.ensure(organisation)):
                log.info("repository_packed", extra={"organisation": organisation})
        except (GitError, OSError) as error:
            log.warning("repository_not_packed", extra={"organisation": organisation, "error": str(error)})


def pack(repository: Path, *, most_loose: int = MOST_LOOSE, most_packs: int = MOST_PACKS) -> bool:
    """Whether it was worth it. Raises GitError, after which everything is as it was."""
    objects = repository / "objects"
    packs = sum(1 for _ in (objects / "pack").glob("*.pack"))
    if packs <= most_packs and _loose(objects) <= most_loose:
        return False
    run_git(repository, *MODESTLY, *REPACK)
    return True


def _loose(objects: Path) -> int:
    """About how many: ids are spread evenly over 256 folders, of which one is counted, as `git gc --auto` does."""
    sample = objects / "17"
    return 256 * sum(1 for _ in sample.iterdir()) if sample.is_dir() else 0
