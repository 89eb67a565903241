"""Objects of a push that waits at the gate: a folder beside the others, moved in when the gate says yes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PREFIX = "incoming-"
LEFTOVER_AGE = 3600.0  # seconds; no push takes that long

# As Git does it: a pack counts from the moment its index is there, so the index comes last.
_LAST = (".pack", ".rev", ".bitmap", ".idx")


def migrate(quarantine: Path, objects: Path) -> None:
    """Move loose objects and packs into the main store by renaming; durable when this returns.

    What the store has already stays as it is: the same name is the same content.
    """
    touched = {objects}
    for source in sorted(_files(quarantine), key=_order):
        target = objects / source.relative_to(quarantine)
        if target.exists():
            continue
        if not target.parent.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
        touched.add(target.parent)
        os.rename(source, target)
    flush(touched)


def sweep(objects: Path) -> int:
    """Delete what crashed pushes left behind. Gives how many folders."""
    horizon = time.time() - LEFTOVER_AGE
    left = [folder for folder in objects.glob(f"{PREFIX}*") if folder.stat().st_mtime < horizon]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _files(quarantine: Path) -> list[Path]:
    """Objects only: `xx/…` and `pack/pack-*`. `info/` (alternates) and temporary files stay behind."""
    loose = [path for path in quarantine.glob("[0-9a-f][0-9a-f]/*") if len(path.name) == 38]
    return loose + list(quarantine.glob("pack/pack-*"))


def _order(path: Path) -> tuple[int, str]:
    return (_LAST.index(path.suffix) if path.suffix in _LAST else -1, str(path))


def flush(folders: Iterable[Path]) -> None:
    """Make what was renamed in these folders durable. At once: they wait for the same journal of the disk."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_flush, folders))


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
