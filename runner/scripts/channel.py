"""Messages to and from one forked process, with patience."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from runner.nodes.base import Cancelled, NodeError
from runner.scripts.frames import CHUNK, Frames, frame
from runner.scripts.zygote_main import HOST_BROKEN
from schemas.pattern import JSON

_SLICE = 0.05  # seconds; how late a cancellation may be noticed
_LAST_WORDS = 2.0  # seconds; the zygote tells how a process ended right after it has


class ProcessLost(Exception):
    """The process ended, or speaks nonsense. The text says how, for the author of what it ran."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait: until `deadline` (monotonic) or until somebody sets `cancelled`.

    `what` is the work in hand ("the script"), `late` what there is none of when time is over.
    """

    what: str
    late: str
    timeout: float
    deadline: float
    cancelled: Cancelled

    @classmethod
    def start(cls, what: str, late: str, timeout: float, cancelled: Cancelled) -> Self:
        deadline = time.monotonic() + timeout
        return cls(what=what, late=late, timeout=timeout, deadline=deadline, cancelled=cancelled)

    def slice(self) -> float:
        """Seconds to wait before the next look. Raises NodeError `timeout` or `cancelled`."""
        if self.cancelled.is_set():
            raise NodeError("cancelled", f"{self.what} was stopped, because its run was", retryable=False)
        left = self.deadline - time.monotonic()
        if left <= 0:
            hint = f"raise the node's `timeout`, or let {self.what} do less"
            raise NodeError("timeout", f"{self.late} within {self.timeout:.3g} s", hint=hint)
        return min(left, _SLICE)


class Channel:
    """`status` is the read end of the pipe on which the zygote tells how the process ended; `kill` ends it.

    `send` and `receive` raise ProcessLost, and NodeError when patience is over.
    """

    def __init__(self, connection: socket.socket, status: int, kill: Callable[[], None]) -> None:
        self._connection = connection
        self._connection.setblocking(False)
        self._status = status
        self._kill = kill
        self._frames = Frames()
        self._sendable = select.poll()
        self._sendable.register(connection, select.POLLOUT)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(status, select.POLLIN)

    def silent(self) -> bool:
        """Whether the process lives and waits: nothing has come from it or about it."""
        return not self._poll.poll(0)

    def close(self) -> None:
        """End the process with all that it started."""
        self._kill()
        self._connection.close()
        os.close(self._status)

    def send(self, body: bytes, patience: Patience) -> None:
        rest = memoryview(frame(body))
        while rest:
            try:
                rest = rest[self._connection.send(rest) :]
            except BlockingIOError:
                self._sendable.poll(patience.slice() * 1000)
            except OSError as error:
                raise self._lost() from error

    def receive(self, patience: Patience, limit: int) -> dict[str, JSON]:
        """The next message, of at most `limit` bytes."""
        while (body := self._frames.next()) is None:
            if self._frames.announced() > limit:
                raise ProcessLost(f"{patience.what} wrote to the channel of its own process")
            self._wait(patience)
            with contextlib.suppress(BlockingIOError):
                self._frames.add(self._read())
        try:
            message: dict[str, JSON] = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ProcessLost("its process gave an answer that cannot be read") from error
        return message

    def _wait(self, patience: Patience) -> None:
        while not self._poll.poll(patience.slice() * 1000):
            pass

    def _read(self) -> bytes:
        try:
            data = self._connection.recv(CHUNK)
        except BlockingIOError:
            # Nothing to read: what woke us is the end of the process.
            raise self._lost() from None
        except ConnectionError as error:
            raise self._lost() from error
        if not data:
            raise self._lost()
        return data

    def _lost(self) -> ProcessLost:
        return ProcessLost(_told(self._last_words()))

    def _last_words(self) -> str:
        """How the process ended, as the zygote says it; empty when the zygote is gone, too."""
        ready = select.poll()
        ready.register(self._status, select.POLLIN)
        if not ready.poll(_LAST_WORDS * 1000):
            return ""
        return os.read(self._status, 1024).decode().strip()


def signal_name(number: int) -> str:
    return signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"


def _told(ended: str) -> str:
    word, _, number = ended.partition(" ")
    if word == "signal":
        return f"killed by {signal_name(int(number))}"
    if word == "exit" and int(number) == HOST_BROKEN:
        return "its connection to the worker broke"
    if word == "exit":
        return f"exit code {number} (os._exit?)"
    return "it was killed together with the process that it came from"
