"""Inside the process that watches over one command: starts it, passes on what it writes, leaves nothing of it.

Standard library only. One request comes in: `{command, env, files: {path: base64}, stdin, limit}`. Log lines go
out while the command runs, then one answer: `{exit, stdout, stderr, flood}`, or `{refused, missing}` where it
could not be started.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import time
from typing import Any

from runner.scripts import limits
from runner.scripts.frames import CHUNK, Frames, frame
from runner.scripts.output import Budget, LogStream

_GRACE = 0.2  # seconds; for what the command's children still have to write when it has ended


class Pipe:
    """One of the command's streams: kept, up to `limit` bytes, and logged line by line.

    Beyond the limit, `flooded` is set; what is kept is then the end.
    """

    def __init__(self, source: int, limit: int, log: LogStream) -> None:
        self.source = source
        self.kept = bytearray()
        self.flooded = False
        self._limit = limit
        self._log = log
        os.set_blocking(source, False)

    def read(self) -> bool:
        """Take what is there. False at the end of the stream."""
        try:
            data = os.read(self.source, CHUNK)
        except BlockingIOError:
            return True
        self.kept += data
        self._log.write(data)
        if len(self.kept) > self._limit:
            self.flooded = True
            del self.kept[: len(self.kept) - self._limit]
        return bool(data)

    def end(self) -> str:
        self._log.end_call()
        return self.kept.decode("utf-8", "replace")


class ShellMain:
    def __init__(self, channel: socket.socket, folder: str) -> None:
        self._channel = channel
        self._folder = folder
        self._budget = Budget(self._log)

    def serve(self) -> None:
        request = self._receive()
        if request is None:
            return
        try:
            _put_files(request["files"])
            process = self._start(request)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            self._send({"refused": error.strerror or str(error), "missing": missing})
        else:
            self._send(self._watch(process, request["limit"]))

    def _start(self, request: dict[str, Any]) -> subprocess.Popen[bytes]:
        given = {"HOME": self._folder, "TMPDIR": self._folder}
        environment = {name: os.environ[name] for name in ("PATH", "LANG")} | given | request["env"]
        with _stdin(request["stdin"]) as stdin:
            return subprocess.Popen(
                request["command"],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                bufsize=0,
                start_new_session=True,
            )

    def _watch(self, process: subprocess.Popen[bytes], limit: int) -> dict[str, Any]:
        assert process.stdout
        assert process.stderr
        out = Pipe(process.stdout.fileno(), limit, LogStream("info", self._budget))
        err = Pipe(process.stderr.fileno(), limit, LogStream("warning", self._budget))
        _pump(process, out, err)
        return {"exit": process.returncode, "stdout": out.end(), "stderr": err.end(), "flood": out.flooded}

    def _receive(self) -> dict[str, Any] | None:
        frames = Frames()
        while (body := frames.next()) is None:
            data = self._channel.recv(CHUNK)
            if not data:
                return None
            frames.add(data)
        request: dict[str, Any] = json.loads(body)
        return request

    def _send(self, message: dict[str, Any]) -> None:
        self._channel.sendall(frame(json.dumps(message).encode()))

    def _log(self, level: str, text: str) -> None:
        self._send({"log": level, "text": text})


def _put_files(files: dict[str, str]) -> None:
    for path, content in files.items():
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o700)
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.b64decode(content))


@contextlib.contextmanager
def _stdin(text: str | None) -> Any:
    """A descriptor from which the text is read; from which nothing comes where there is none."""
    if text is None:
        yield subprocess.DEVNULL
        return
    with os.fdopen(os.memfd_create("stdin"), "r+b") as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.seek(0)
        yield file


def _pump(process: subprocess.Popen[bytes], out: Pipe, err: Pipe) -> None:
    """Read both streams until the command has ended and nobody is left who could write."""
    ends = os.pidfd_open(process.pid)
    pipes = {out.source: out, err.source: err}
    poll = select.poll()
    for descriptor in (ends, *pipes):
        poll.register(descriptor, select.POLLIN)
    try:
        _until_end(poll, pipes, ends)
        _drain(poll, pipes, time.monotonic() + _GRACE)
    finally:
        _end_descendants(process)
        os.close(ends)
    _empty(poll, pipes)


def _until_end(poll: select.poll, pipes: dict[int, Pipe], ends: int) -> None:
    """Until the command has ended, or has written too much to its standard output (the first of the pipes)."""
    out = next(iter(pipes.values()))
    while not out.flooded:
        ready = [descriptor for descriptor, _ in poll.poll()]
        _read(ready, poll, pipes)
        if ends in ready:
            break
    poll.unregister(ends)


def _drain(poll: select.poll, pipes: dict[int, Pipe], deadline: float) -> None:
    while pipes and (left := deadline - time.monotonic()) > 0:
        ready = [descriptor for descriptor, _ in poll.poll(left * 1000)]
        _read(ready, poll, pipes)


def _empty(poll: select.poll, pipes: dict[int, Pipe]) -> None:
    """Take what is left when nobody writes any more, however long this process had to wait for its turn."""
    while pipes and (ready := poll.poll(_GRACE * 1000)):
        _read([descriptor for descriptor, _ in ready], poll, pipes)


def _read(ready: list[int], poll: select.poll, pipes: dict[int, Pipe]) -> None:
    for descriptor in ready:
        pipe = pipes.get(descriptor)
        if pipe is not None and not pipe.read():
            poll.unregister(descriptor)
            del pipes[descriptor]


def _end_descendants(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and all that it started; whoever left its group has become our child."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the number is its own
    process.wait()
    while children := limits.children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
