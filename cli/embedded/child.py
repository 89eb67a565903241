"""Child processes that cannot outlive the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cli.embedded.system_user import SystemUser

PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
PR_SET_DUMPABLE = 4
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(death_signal: signal.Signals, parent: int) -> None:
    """Asks the kernel to send `death_signal` to this process when the thread that forked it ends.

    Called in the child, after any change of user: the kernel forgets the wish when credentials change.
    `parent` is the pid of who forked; a parent that died before the wish was made is noticed here.
    """
    if _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def close_to_others() -> None:
    """Keep this process' memory and environment, and those of what it forks, from others of the same user.

    Scripts run as the same user: without this, `/proc/…/environ` would show them what they must not know.
    What is started with another program opens itself again.
    """
    if _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) failed")


def with_death_signal(death_signal: signal.Signals) -> Callable[[], None]:
    """What `subprocess` calls in the child as `preexec_fn`."""
    parent = os.getpid()
    return lambda: die_with_parent(death_signal, parent)


@dataclass(frozen=True, kw_only=True)
class Command:
    """A server's command line and what surrounds it. `user` None means the user of this process."""

    argv: Sequence[str]
    folder: Path  # where it runs
    log: Path  # where what it prints goes
    death_signal: signal.Signals  # what it gets when this process dies
    user: SystemUser | None = None


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Starts it in a process group of its own: a terminal's Ctrl-C reaches it through the supervisor alone.

    It sees nothing of this process's environment, where tokens and keys may be.
    """
    user = command.user
    with open_log(command.log) as log:
        return subprocess.Popen(
            list(command.argv),
            cwd=command.folder,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            process_group=0,
            # The only way to ask between the change of user and exec; the supervisor has no threads.
            preexec_fn=with_death_signal(command.death_signal),
        )


def clean_environment() -> Mapping[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


MAX_LOG = 10 * 1024 * 1024  # bytes; a longer one is set aside at the next start, replacing the one before


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    """A descriptor that appends to the log, whose folder is made when missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > MAX_LOG:
        path.replace(path.with_suffix(".old.log"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def last_line(path: Path) -> str:
    """The last line of a log, for the message that says why a server did not start."""
    lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
    return lines[-1] if lines else "(its log is empty)"


class Service(Protocol):
    """A server that the supervisor runs as its child."""

    @property
    def name(self) -> str: ...

    @property
    def url(self) -> str:
        """Where clients reach it; stays the same across restarts."""
        ...

    @property
    def stop_signal(self) -> signal.Signals: ...

    def spawn(self) -> subprocess.Popen[bytes]: ...

    def wait_ready(self, process: subprocess.Popen[bytes], timeout: float = 30.0) -> None:
        """Returns once it answers; raises StartError when it ended or `timeout` seconds have passed."""
        ...


def stop(process: subprocess.Popen[bytes], stop_signal: signal.Signals, timeout: float = 10.0) -> None:
    """Asks the process to end, waits `timeout` seconds, then kills it."""
    if process.poll() is None:
        process.send_signal(stop_signal)
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
