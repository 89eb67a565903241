"""Processes of this machine, as /proc has them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Process:
    """`cpu` in seconds, since it began."""

    pid: int
    parent: int
    name: str
    cpu: float

    @property
    def pss(self) -> int:
        """Bytes, a page that several processes map counted in equal shares."""
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        line = next(line for line in text.splitlines() if line.startswith("Pss:"))
        return int(line.split()[1]) * 1024


def processes() -> dict[int, Process]:
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(OSError):  # it ended meanwhile
                found[int(folder.name)] = _process(folder)
    return found


def _process(folder: Path) -> Process:
    _, _, rest = (folder / "stat").read_text().rpartition(")")
    fields = rest.split()
    name = (folder / "comm").read_text().strip()
    cpu = (int(fields[11]) + int(fields[12])) / TICKS
    return Process(pid=int(folder.name), parent=int(fields[1]), name=name, cpu=cpu)


def family(pid: int) -> list[Process]:
    """The process and all that come from it."""
    everybody = processes()
    return [one for one in everybody.values() if any(up.pid == pid for up in _ancestors(everybody, one))]


def ancestor(pid: int, name: str) -> Process:
    """The nearest process above `pid` with that name."""
    everybody = processes()
    return next(up for up in _ancestors(everybody, everybody[pid]) if up.name == name)


def _ancestors(everybody: dict[int, Process], one: Process) -> Iterator[Process]:
    """Itself, its parent, and so on."""
    up: Process | None = one
    while up is not None:
        yield up
        up = everybody.get(up.parent)
