"""`git` that speaks to another host: with the user's own keys and proxies, never a question, and an end in time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

MEBIBYTE = 1024 * 1024
CHUNK = MEBIBYTE

# What the user may have set for Git and what a connection needs; the rest of GIT_* would lead it elsewhere.
_KEPT = ("GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM")
_KEPT_PREFIXES = ("GIT_SSL_", "GIT_PROXY_")

# The user's configuration may say how to reach a host. It may not run anything of its own here, nor fetch more.
SETTINGS = {
    "safe.directory": "*",
    "core.hooksPath": os.devnull,
    "core.fsync": "loose-object,pack,pack-metadata,reference",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    # A host that redirects elsewhere would be handed the token.
    "http.followRedirects": "false",
    "protocol.version": "2",
    "pack.threads": "2",
    "pack.windowMemory": "64m",
}
_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=15 -o ServerAliveInterval=15 -o ServerAliveCountMax=3"
_STDERR_TAIL = 64 * 1024


class TooSlowError(Exception):
    """It did not end in time, and was killed."""


class TooMuchError(Exception):
    """It said more than it may."""


class ClosedError(Exception):
    """Nothing runs any more."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Seconds for one command, bytes of what it prints and of one file that it writes (a pack is one)."""

    seconds: float = 600.0
    printed: int = 64 * MEBIBYTE
    file: int = 4096 * MEBIBYTE


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    printed: bytes = field(repr=False)
    said: str = field(repr=False)


class Running:
    """Children that are under way. Safe for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._children: set[subprocess.Popen[bytes]] = set()
        self._closed = False

    def close(self) -> None:
        """Kills them."""
        with self._lock:
            self._closed = True
            for process in self._children:
                _kill(process)

    def run(
        self, directory: Path, arguments: Sequence[str], *, header: str | None, stdin: str, limits: Limits
    ) -> Ended:
        """Raises TooSlowError, TooMuchError, ClosedError; whatever it started is dead then.

        `header` opens the host. It goes by the environment, which other users cannot read as they can arguments.
        """
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as complaint:
            told.write(stdin.encode("utf-8", "surrogateescape"))
            told.seek(0)
            process = self._start(
                _command(arguments, limits),
                cwd=directory,
                env=environment(header),
                stdin=told,
                stdout=subprocess.PIPE,
                stderr=complaint,
                start_new_session=True,
            )
            try:
                code, printed = _finish(process, limits)
            finally:
                with self._lock:
                    self._children.discard(process)
            if self._closed:
                raise ClosedError
            return Ended(code=code, printed=printed, said=_tail(complaint))

    def _start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._closed:
                raise ClosedError
            process = subprocess.Popen(command, **options)
            self._children.add(process)
            return process


def _command(arguments: Sequence[str], limits: Limits) -> list[str]:
    """The shell sets a limit that Python could only set for itself, or unsafely between fork and exec.

    Where the machine allows less already, that stays, and nobody need hear of it.
    """
    settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    return [
        "sh",
        "-c",
        'ulimit -f "$0" 2>/dev/null; exec git "$@"',
        str(limits.file // 512),
        *settings,
        *arguments,
    ]


def _finish(process: subprocess.Popen[bytes], limits: Limits) -> tuple[int, bytes]:
    """Its exit code and what it printed. It is dead when this returns or raises."""
    deadline = time.monotonic() + limits.seconds
    assert process.stdout is not None
    try:
        printed = _read(process.stdout, limits.printed, deadline)
        return process.wait(max(0.0, deadline - time.monotonic())), printed
    except subprocess.TimeoutExpired:
        raise TooSlowError from None
    finally:
        _kill(process)
        process.wait()
        process.stdout.close()


def _read(stream: IO[bytes], most: int, deadline: float) -> bytes:
    """To the end, which may never come: what it started can hold its output open when it is gone itself."""
    pieces: list[bytes] = []
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while sum(map(len, pieces)) <= most:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TooSlowError
            piece = os.read(stream.fileno(), CHUNK)
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
    raise TooMuchError


def _kill(process: subprocess.Popen[bytes]) -> None:
    """With all that it started: `git` waits for ssh and git-remote-https."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _tail(complaint: IO[bytes]) -> str:
    size = complaint.seek(0, os.SEEK_END)
    complaint.seek(max(0, size - _STDERR_TAIL))
    return complaint.read().decode(errors="replace")


def environment(header: str | None, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Where the user's own Git looks for keys and proxies; without a terminal, and with no other transports."""
    kept = {
        key: value
        for key, value in environ.items()
        if not key.startswith(("GIT_", "SSH_ASKPASS", "WEFT_"))
        or key in _KEPT
        or key.startswith(_KEPT_PREFIXES)
    }
    found = {
        "GIT_SSH_COMMAND": _SSH,
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",  # instead of the user's, which may open a window
        "GIT_ALLOW_PROTOCOL": "file:http:https:ssh",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "LC_ALL": "C",
    }
    if "GIT_SSH" in kept and "GIT_SSH_COMMAND" not in kept:
        del found["GIT_SSH_COMMAND"]
    if header is None:
        return found
    return {
        **found,
        "GIT_CONFIG_COUNT": "2",
        # A credential helper of the user's would be asked only after a 401, and its answer sent instead.
        "GIT_CONFIG_KEY_0": "credential.helper",
        "GIT_CONFIG_VALUE_0": "",
        "GIT_CONFIG_KEY_1": "http.extraHeader",
        "GIT_CONFIG_VALUE_1": header,
    }
