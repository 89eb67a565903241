"""Where a process belongs, and the one that is there now."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from cli.embedded.child import Service
from cli.parts import Life, Part, fork
from cli.restarts import Deaths
from cli.roll import Roll


@dataclass(frozen=True, kw_only=True)
class Running:
    """A live child. `reap` takes its exit code once `descriptor`, a pidfd, is readable."""

    pid: int
    descriptor: int
    reap: Callable[[], int]
    started: float = field(default_factory=time.monotonic)  # not the time of day
    worker_id: str | None = None

    def send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def bury(self) -> int:
        """After its end: ends what it left in its process group; gives its exit code, or minus the signal."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.descriptor)
        return self.reap()


@dataclass(kw_only=True, eq=False)
class Place:
    """Holds one process at a time; `start` makes the next one."""

    name: str
    start: Callable[[Deaths], Running]
    stop_signal: signal.Signals = signal.SIGTERM
    kill_signal: signal.Signals = signal.SIGKILL
    once: bool = False  # nobody follows the first one
    running: Running | None = None
    deaths: Deaths = field(default_factory=Deaths)
    due: float | None = None  # when the next one starts (monotonic)

    @property
    def settled(self) -> bool:
        return self.running is None and self.due is None


def watch(process: subprocess.Popen[bytes]) -> Running:
    return Running(pid=process.pid, descriptor=os.pidfd_open(process.pid), reap=process.wait)


def service_place(service: Service) -> Place:
    """PostgreSQL is killed by SIGQUIT, which ends its children too and is as safe as a power cut."""
    kill = signal.SIGQUIT if service.stop_signal is signal.SIGINT else signal.SIGKILL
    return Place(
        name=service.name,
        start=lambda _: watch(service.spawn()),
        stop_signal=service.stop_signal,
        kill_signal=kill,
    )


def part_place(part: Part, private: Callable[[], Iterable[int]], roll: Roll | None) -> Place:
    """`private()` are the descriptors that the supervisor has at that moment and its children must not."""

    def start(deaths: Deaths) -> Running:
        worker_id = uuid.uuid4().hex if part.is_worker else None
        if roll is not None and worker_id is not None:
            roll.add(worker_id)
        pid = fork(Life(part=part, worker_id=worker_id, replaces=deaths.owed), private())
        return Running(
            pid=pid, descriptor=os.pidfd_open(pid), reap=lambda: _exit_code(pid), worker_id=worker_id
        )

    return Place(name=part.name, start=start, once=part.once)


def _exit_code(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)
