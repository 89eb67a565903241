"""The process that hosts are forked from: imports done, one thread, nothing of the worker's in it.

It obeys messages on the control socket (SOCK_SEQPACKET): `{"fork": n, "role": …}` with the channel and
the write end of the status pipe of a process to be (a host), and `{"kill": n}`. When the socket closes, because
the worker ended, however it ended, it ends every host and itself. A status pipe tells the life of one host:
`started`, then `exit 0` or `signal 9`; or `failed: <why>` alone. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import shutil
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from runner.scripts import limits
from runner.scripts.host_main import HostMain
from runner.scripts.shell_main import ShellMain

FOLDER_PREFIX = "weft-scripts-"
STARTED = b"started\n"
HOST_BROKEN = 70  # exit code of a host that failed by itself (EX_SOFTWARE of sysexits.h)
_ABANDONED_AFTER = 60  # seconds without a lock: a younger folder's owner may be about to take it

# What scripts use most, imported once for all of them.
PRELOADED = (
    "base64",
    "collections",
    "csv",
    "datetime",
    "decimal",
    "hashlib",
    "math",
    "random",
    "re",
    "urllib.parse",
    "uuid",
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    root: str  # folder that holds the hosts' temporary folders
    memory: int  # bytes
    idle: float  # seconds


@dataclass(frozen=True, kw_only=True)
class Child:
    number: int
    pid: int
    status: int  # descriptor


def main(arguments: list[str]) -> NoReturn:
    control = socket.socket(fileno=int(arguments[0]))
    settings = Settings(**json.loads(arguments[1]))
    limits.gain_no_privileges()
    limits.no_core_dumps()
    limits.adopt_orphans()
    _default_signals()
    for name in PRELOADED:
        __import__(name)
    zygote = ZygoteMain(control, settings, _lock(settings))
    gc.collect()
    gc.freeze()
    zygote.run()
    os._exit(0)


def _default_signals() -> None:
    """A worker may block or ignore signals, and both survive `exec`."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGCHLD,
        signal.SIGALRM,
    ):
        signal.signal(number, signal.SIG_DFL)


def _lock(settings: Settings) -> int:
    """Hold the root folder as long as this process lives, so that nobody takes it for abandoned."""
    root = Path(settings.root)
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    for other in root.parent.glob(f"{FOLDER_PREFIX}*"):
        _remove_if_abandoned(other)
    return lock


def _remove_if_abandoned(folder: Path) -> None:
    """Remove what a zygote left that was killed together with its worker."""
    with contextlib.suppress(OSError):
        known = folder.lstat()
        if known.st_uid != os.getuid() or time.time() - known.st_mtime < _ABANDONED_AFTER:
            return
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


class ZygoteMain:
    def __init__(self, control: socket.socket, settings: Settings, lock: int) -> None:
        self._control = control
        self._settings = settings
        self._lock = lock
        self._limit = limits.MemoryLimit.beyond_now(settings.memory)
        self._children: dict[int, Child] = {}  # by the descriptor that tells of their end
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)

    def run(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != self._control.fileno():
                    self._bury(descriptor)
                elif not self._obey():
                    self._end()
                    return

    def _obey(self) -> bool:
        """Carry out one command. False when the worker is gone."""
        message, descriptors, _, _ = socket.recv_fds(self._control, 1024, 2, socket.MSG_CMSG_CLOEXEC)
        if not message:
            return False
        command = json.loads(message)
        if "fork" in command:
            channel, status = descriptors
            self._fork(command, channel, status)
        else:
            for child in self._children.values():
                if child.number == command["kill"]:
                    _kill(child)
        return True

    def _fork(self, command: dict[str, Any], channel: int, status: int) -> None:
        zygote, number = os.getpid(), command["fork"]
        try:
            pid = os.fork()
        except OSError as error:
            _tell(status, f"failed: {error.strerror}\n".encode())
            os.close(status)
        else:
            if pid == 0:
                self._become(command["role"], zygote, number, channel)
            self._register(Child(number=number, pid=pid, status=status))
        os.close(channel)

    def _register(self, child: Child) -> None:
        ends = os.pidfd_open(child.pid)
        self._children[ends] = child
        self._poll.register(ends, select.POLLIN)
        _tell(child.status, STARTED)

    def _bury(self, ends: int) -> None:
        """Take what a host that ended has left: its group (while its pid is its own), orphans, files."""
        child = self._children.pop(ends)
        self._poll.unregister(ends)
        os.close(ends)
        _kill(child)
        _, status = os.waitpid(child.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        _tell(child.status, f"exit {code}\n".encode() if code >= 0 else f"signal {-code}\n".encode())
        os.close(child.status)
        self._kill_orphans()
        shutil.rmtree(self._folder(child.number), ignore_errors=True)

    def _kill_orphans(self) -> None:
        """End descendants that left their host's group. Their children come to us next, hence the loop."""
        hosts = {child.pid for child in self._children.values()}
        while orphans := [pid for pid in limits.children() if pid not in hosts]:
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for pid in orphans:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _end(self) -> None:
        for child in self._children.values():
            _kill(child)
        for ends in list(self._children):
            self._bury(ends)
        shutil.rmtree(self._settings.root, ignore_errors=True)

    def _folder(self, number: int) -> str:
        return os.path.join(self._settings.root, str(number))

    def _become(self, role: str, zygote: int, number: int, channel: int) -> NoReturn:
        try:
            os.setsid()
            limits.die_with_parent(zygote)
            limits.adopt_orphans()
            self._control.detach()
            ROLES[role](self, _only_descriptor(channel), _home(self._folder(number)))
            os._exit(0)
        finally:
            os._exit(HOST_BROKEN)

    def serve_scripts(self, channel: socket.socket, folder: str) -> None:
        host = HostMain(channel, folder, self._settings.idle)
        self._limit.apply()
        host.serve()

    def run_command(self, channel: socket.socket, folder: str) -> None:
        """Without a limit of memory: runtimes of other languages reserve addresses by the gigabyte."""
        ShellMain(channel, folder).serve()


ROLES = {"script": ZygoteMain.serve_scripts, "shell": ZygoteMain.run_command}
"""What a forked process is for."""


def _kill(child: Child) -> None:
    """End a host that was not waited for yet (so the pid is its own) and its group, if it has made it."""
    for kill in (os.kill, os.killpg):
        with contextlib.suppress(ProcessLookupError):
            kill(child.pid, signal.SIGKILL)


def _home(folder: str) -> str:
    os.mkdir(folder, mode=0o700)
    os.chdir(folder)
    os.environ["HOME"] = os.environ["TMPDIR"] = folder
    return folder


def _only_descriptor(channel: int) -> socket.socket:
    """Keep nothing open but the channel, as descriptor 3; 0, 1 and 2 lead nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.dup2(channel, 3)
    os.set_inheritable(3, False)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=3)


def _tell(status: int, line: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # the worker has given this host up
        os.write(status, line)
