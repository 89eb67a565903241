"""The process that hosts are forked from, seen from the worker."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from runner.nodes.base import NodeError
from runner.scripts.channel import Channel
from runner.scripts.zygote_main import FOLDER_PREFIX, STARTED

_PACKAGES = str(Path(__file__).parents[2])
_BOOT = (
    "import sys; packages, *arguments = sys.argv[1:]; sys.path.insert(0, packages); "
    "from runner.scripts.zygote_main import main; del sys.path[0]; main(arguments)"
)
MEMORY = 512 * 1024 * 1024  # bytes that a script may use beyond what its host starts with
_FORK_PATIENCE = 10  # seconds, on a machine that is busy; usually it takes about one thousandth


class ZygoteLostError(Exception):
    """The zygote has ended. Its hosts have, too."""


class Zygote:
    """Starts hosts. They all end when `close` is called, or when this process ends, in whatever way.

    `memory` (bytes) is what a host may use beyond its start; unused for `idle` seconds, it ends itself.
    """

    def __init__(self, *, memory: int, idle: float) -> None:
        self._numbers = itertools.count()
        self._root = tempfile.mkdtemp(prefix=FOLDER_PREFIX)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = json.dumps({"root": self._root, "memory": memory, "idle": idle})
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _BOOT, _PACKAGES, str(theirs.fileno()), settings],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                cwd=self._root,
                env={
                    "PATH": "/usr/local/bin:/usr/bin:/bin",
                    "LANG": "C.UTF-8",
                    "HOME": self._root,
                    "TMPDIR": self._root,
                },
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, role: str) -> Channel:
        """A new process: one of `zygote_main.ROLES`. Raises ZygoteLostError; NodeError when there is no room."""
        number = next(self._numbers)
        channel, theirs = socket.socketpair()
        status, their_status = os.pipe()
        try:
            self._send({"fork": number, "role": role}, [theirs.fileno(), their_status])
            self._wait_for_start(status)
        except BaseException:
            channel.close()
            os.close(status)
            raise
        finally:
            theirs.close()
            os.close(their_status)
        return Channel(channel, status, functools.partial(self._kill, number))

    def close(self) -> None:
        """End every host. Raises nothing: what the zygote cannot do any more is done here."""
        self._control.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
        if os.path.exists(self._root):
            _kill_marked(self._root)
            shutil.rmtree(self._root, ignore_errors=True)

    def _kill(self, number: int) -> None:
        """End a host with all that it started."""
        try:
            self._send({"kill": number})
        except ZygoteLostError:
            _kill_marked(self._root)

    def _send(self, command: dict[str, int | str], descriptors: list[int] | None = None) -> None:
        try:
            socket.send_fds(self._control, [json.dumps(command).encode()], descriptors or [])
        except OSError as error:
            raise ZygoteLostError(self._last_words()) from error

    def _wait_for_start(self, status: int) -> None:
        ready = select.poll()
        ready.register(status, select.POLLIN)
        if not ready.poll(_FORK_PATIENCE * 1000):
            self._process.kill()
            raise ZygoteLostError(f"no new process within {_FORK_PATIENCE} s")
        if (told := os.read(status, len(STARTED))) == STARTED:
            return
        if told:
            why = os.read(status, 1024).decode().strip()
            raise NodeError("no_process", f"no process could be started: {why}")
        raise ZygoteLostError(self._last_words())

    def _last_words(self) -> str:
        """What it wrote before it ended, for the log."""
        with contextlib.suppress(OSError, ValueError):
            self._errors.seek(0)
            return self._errors.read()[-2000:].decode("utf-8", "replace").strip()
        return ""


class Zygotes:
    """The zygote of a worker process, started when it is needed first and replaced when it is lost. For threads."""

    def __init__(self, *, memory: int = MEMORY, idle: float = 60) -> None:
        self._memory = memory
        self._idle = idle
        self._zygote: Zygote | None = None
        self._starting = threading.Lock()

    def fork(self, role: str) -> Channel:
        """A new process of the zygote; of a new one where the old one is dead. Raises NodeError `no_process`."""
        for _ in range(2):
            zygote = self._living()
            try:
                return zygote.fork(role)
            except ZygoteLostError as lost:
                why = str(lost)
                self._forget(zygote)
        raise NodeError("no_process", f"the process that others are forked from does not start: {why}")

    def close(self) -> None:
        """End every process. A later `fork` starts anew."""
        with self._starting:
            zygote, self._zygote = self._zygote, None
        if zygote:
            zygote.close()

    def _living(self) -> Zygote:
        with self._starting:
            if self._zygote is None:
                self._zygote = Zygote(memory=self._memory, idle=self._idle)
            return self._zygote

    def _forget(self, zygote: Zygote) -> None:
        with self._starting:
            if self._zygote is zygote:
                self._zygote = None
                zygote.close()


def _kill_marked(root: str) -> None:
    """End what a killed zygote left: every process that was started with its environment."""
    folders = [f"{name}={root}{end}" for name in ("HOME", "TMPDIR") for end in ("\0", "/")]
    marks = [folder.encode() for folder in folders]
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            environment = path.read_bytes()
            if any(mark in environment for mark in marks):
                os.kill(int(path.parent.name), signal.SIGKILL)
