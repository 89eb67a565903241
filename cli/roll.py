"""Which workers are at work, on disk: after a crash of everything, the next start frees their runs at once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


class Roll:
    """A file for each worker in a folder that only one supervisor uses. What it loses, leases make up for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def left_behind(self) -> tuple[str, ...]:
        """The workers of a supervisor that is gone, forgotten with this call."""
        with suppress(OSError):
            names = tuple(sorted(path.name for path in self._folder.iterdir()))
            for name in names:
                self.strike(name)
            return names
        return ()

    def add(self, worker_id: str) -> None:
        with suppress(OSError):  # a full disk must not keep a worker from starting
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / worker_id).touch()

    def strike(self, worker_id: str) -> None:
        with suppress(OSError):
            (self._folder / worker_id).unlink()
