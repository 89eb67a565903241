"""What the kernel holds a host to. Linux; standard library only."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

# Address space that is reserved but not used (thread stacks, arenas, runtimes of other languages) may exceed
# the memory limit this many times; memory that can be written to may not.
_ADDRESS_SPACE_FACTOR = 8

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def _set(option: int, value: int) -> None:
    if _prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")


def gain_no_privileges() -> None:
    """No set-uid program gives this process or its children other rights."""
    _set(_PR_SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """Descendants whose parents end become children of this process, so none can hide from it."""
    _set(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """End when `parent` (a pid) ends. It must have one thread: the kernel watches the thread that forked."""
    _set(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def no_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


@dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """In bytes: memory that can be written to, and addresses."""

    data: int
    space: int

    @classmethod
    def beyond_now(cls, memory: int) -> Self:
        """`memory` bytes beyond what this process uses now."""
        lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
        used = {words[0]: int(words[1]) * 1024 for words in lines if words[0] in ("VmData:", "VmSize:")}
        return cls(data=used["VmData:"] + memory, space=used["VmSize:"] + memory * _ADDRESS_SPACE_FACTOR)

    def apply(self) -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (self.data, self.data))
        resource.setrlimit(resource.RLIMIT_AS, (self.space, self.space))


def children() -> list[int]:
    """The pids of this process's children. Empty where the kernel does not tell (CONFIG_PROC_CHILDREN)."""
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except FileNotFoundError:
        return []
