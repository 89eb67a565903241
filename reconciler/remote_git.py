"""`git` that speaks to another host: with the user's own keys and proxies, never a question, and an end in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MEBIBYTE = 1024 * 1024

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


def run(
    directory: Path, arguments: Sequence[str], *, header: str | None, stdin: str, limits: Limits
) -> Ended:
    """Raises TooSlowError, TooMuchError; whatever it started is dead then.

    `header` opens the host. It goes by the environment, which other users cannot read as they can arguments.
    """
    settings = [part for key, value in SETTINGS.items() for part in ("-c", f"{key}={value}")]
    # The shell sets a limit that Python could only set for itself, or unsafely between fork and exec.
    command = ["sh", "-c", 'ulimit -f "$0"; exec git "$@"', str(limits.file // 512), *settings, *arguments]
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as complaint:
        told.write(stdin.encode("utf-8", "surrogateescape"))
        told.seek(0)
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=environment(header),
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=complaint,
            start_new_session=True,
        )
        with _ended_in_time(process, limits.seconds) as expired:
            assert process.stdout is not None
            printed = process.stdout.read(limits.printed + 1)
            if len(printed) > limits.printed:
                raise TooMuchError
            code = process.wait()
        if expired.is_set():
            raise TooSlowError
        return Ended(code=code, printed=printed, said=_tail(complaint))


@contextlib.contextmanager
def _ended_in_time(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kills it after so long, and in any case at the end. The event says that the time was up."""
    expired = threading.Event()

    def kill() -> None:
        if process.poll() is None:
            expired.set()
            _kill(process)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()
        _kill(process)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


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
