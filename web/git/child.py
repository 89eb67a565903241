"""Git programs that serve one request: shielded from our environment, killed with all they started.

Everything here blocks and is called from threads. (Under uvloop, a child of the event loop takes twice as
long to start: it forks the whole process, `subprocess` does not.)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

CHUNK = 256 * 1024
STDERR_TAIL = 4096

SETTINGS = (
    # Whoever asks has been let in by a token; the folder's owner may be another user, in a container say.
    "safe.directory=*",
    # Large files stream through instead of being held in memory.
    "core.bigFileThreshold=16m",
    "pack.threads=2",
    "pack.windowMemory=64m",
    # An accepted push outlives a power cut.
    "core.fsync=committed",
    "uploadpack.allowFilter=true",
    # Weft's own refs, such as what the default branch held before it was rewritten.
    "transfer.hideRefs=refs/weft",
)
# The largest single piece of memory for one object: a small pack can describe a huge one.
LARGEST_ALLOCATION = "512m"


def command(arguments: Sequence[str]) -> list[str]:
    return ["git", *(part for setting in SETTINGS for part in ("-c", setting)), *arguments]


def environment(
    repository: Path, *, quarantine: Path | None = None, protocol: str | None = None
) -> dict[str, str]:
    """What Git sees. Nothing of ours but the PATH: no `GIT_*`, no user's or system's configuration."""
    found = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.devnull,
        "LC_ALL": "C",
        "GIT_DIR": str(repository),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_ALLOC_LIMIT": LARGEST_ALLOCATION,
    }
    if quarantine is not None:
        found["GIT_OBJECT_DIRECTORY"] = str(quarantine)
        found["GIT_ALTERNATE_OBJECT_DIRECTORIES"] = str(repository / "objects")
        found["GIT_QUARANTINE_PATH"] = str(quarantine)
    if protocol is not None:
        found["GIT_PROTOCOL"] = protocol
    return found


class Child:
    """One Git process, in a process group of its own. `close` in any case; it kills what still runs."""

    def __init__(
        self, arguments: Sequence[str], *, environment: Mapping[str, str], stdin: IO[bytes] | int
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            command(arguments),
            bufsize=0,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=dict(environment),
            cwd=environment["GIT_DIR"],
            start_new_session=True,
        )

    def write(self, data: bytes) -> bool:
        """Feed standard input, as fast as it is read; False when nobody reads it any more."""
        stdin = self._process.stdin
        assert stdin is not None
        with self._lock:
            view = memoryview(data)
            try:
                while view:
                    view = view[stdin.write(view) :]
            except (BrokenPipeError, ValueError):  # ValueError: closed meanwhile
                return False
        return True

    def read(self) -> bytes:
        """The next bytes of standard output; empty at the end."""
        stdout = self._process.stdout
        assert stdout is not None
        with self._lock:
            return b"" if stdout.closed else stdout.read(CHUNK) or b""

    def finish(self) -> int:
        """Close standard input, drop what is left of the output and wait. The exit code."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        while self.read():
            pass
        return self._process.wait()

    def complaint(self) -> str:
        """The end of what it said on standard error."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL))
        return self._stderr.read().decode(errors="replace").strip()

    def kill(self) -> None:
        """The program and what it started; nothing where it has been waited for."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        self._process.wait()
        with self._lock:  # a descriptor that another thread is reading must not be given to somebody else
            for stream in (self._process.stdin, self._process.stdout, self._stderr):
                if stream is not None:
                    stream.close()
