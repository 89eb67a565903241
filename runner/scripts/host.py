"""One script host, seen from the worker."""

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

import orjson

from runner.nodes.base import Cancelled, NodeError
from runner.scripts.frames import CHUNK, Frames, frame
from runner.scripts.host_main import MAX_RESULT
from runner.scripts.output import MAX_LINES
from runner.scripts.zygote_main import HOST_BROKEN
from schemas.pattern import JSON

Log = Callable[[str, str], None]

# A message is a result with a few words round it, or a log line.
_MAX_MESSAGE = MAX_RESULT + 64 * 1024
_SLICE = 0.05  # seconds; how late a cancellation may be noticed
_LAST_WORDS = 2.0  # seconds; the zygote tells how a host ended right after it has


@dataclass(frozen=True, kw_only=True)
class ScriptCall:
    """`function(input)` of the Python text `source`, which tracebacks call `file`. `version` keeps apart."""

    version: str
    file: str
    source: str
    function: str
    input: JSON


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait for a call: until `deadline` (monotonic) or until somebody sets `cancelled`."""

    call: ScriptCall
    timeout: float
    deadline: float
    cancelled: Cancelled

    @classmethod
    def start(cls, call: ScriptCall, timeout: float, cancelled: Cancelled) -> Self:
        return cls(call=call, timeout=timeout, deadline=time.monotonic() + timeout, cancelled=cancelled)

    def slice(self) -> float:
        """Seconds to wait before the next look. Raises NodeError `timeout` or `cancelled`."""
        if self.cancelled.is_set():
            raise NodeError("cancelled", "the script was stopped, because its run was", retryable=False)
        left = self.deadline - time.monotonic()
        if left <= 0:
            what = f"{self.call.function} of {self.call.file} did not return within {self.timeout:.3g} s"
            raise NodeError("timeout", what, hint="raise the node's `timeout`, or do less in the script")
        return min(left, _SLICE)


class Host:
    """Takes one call at a time. Where `reusable` is False after it, only `close` is left to do.

    `status` is the read end of the pipe on which the zygote tells how the process ended; `kill` ends it.
    """

    def __init__(
        self, *, version: str, channel: socket.socket, status: int, kill: Callable[[], None]
    ) -> None:
        self.version = version
        self.reusable = True
        self.idle_since = 0.0
        self._channel = channel
        self._channel.setblocking(False)
        self._status = status
        self._kill = kill
        self._modules: dict[tuple[str, str], int] = {}
        self._frames = Frames()
        self._sendable = select.poll()
        self._sendable.register(channel, select.POLLOUT)
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._poll.register(status, select.POLLIN)

    def alive(self) -> bool:
        """Whether the process waits for a call: nothing has come from it or about it."""
        return not self._poll.poll(0)

    def call(self, call: ScriptCall, patience: Patience, log: Log) -> JSON:
        """What the function returned. Raises NodeError as `ScriptHosts.call` does."""
        self.reusable = False
        self._send(self._request(call), patience)
        for _ in range(MAX_LINES + 2):
            message = self._receive(patience)
            if "log" not in message:
                return self._outcome(message, call)
            log(message["log"], message["text"])
        raise NodeError("script_crashed", "the script wrote to the channel of its host process")

    def close(self) -> None:
        """End the process with all that it started."""
        self._kill()
        self._channel.close()
        os.close(self._status)

    def _request(self, call: ScriptCall) -> bytes:
        request = {"function": call.function, "input": call.input}
        key = (call.file, call.source)
        if key not in self._modules:
            self._modules[key] = len(self._modules)
            request |= {"file": call.file, "source": call.source}
        request["module"] = self._modules[key]
        return frame(orjson.dumps(request))

    def _send(self, data: bytes, patience: Patience) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._channel.send(rest) :]
            except BlockingIOError:
                self._sendable.poll(patience.slice() * 1000)
            except OSError as error:
                raise self._crash() from error

    def _receive(self, patience: Patience) -> dict[str, JSON]:
        while (body := self._frames.next()) is None:
            if self._frames.announced() > _MAX_MESSAGE:
                raise NodeError("script_crashed", "the script wrote to the channel of its host process")
            self._wait(patience)
            with contextlib.suppress(BlockingIOError):
                self._frames.add(self._read())
        try:
            message: dict[str, JSON] = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NodeError(
                "script_crashed", "the script's process gave an answer that cannot be read"
            ) from error
        return message

    def _wait(self, patience: Patience) -> None:
        while not self._poll.poll(patience.slice() * 1000):
            pass

    def _read(self) -> bytes:
        try:
            data = self._channel.recv(CHUNK)
        except BlockingIOError:
            # Nothing to read: what woke us is the end of the process.
            raise self._crash() from None
        except ConnectionError as error:
            raise self._crash() from error
        if not data:
            raise self._crash()
        return data

    def _outcome(self, message: dict[str, JSON], call: ScriptCall) -> JSON:
        error = message.get("error") or {}
        self.reusable = not message["left"] and not error.get("memory")
        if error.get("memory"):
            raise NodeError(
                "script_error", error["message"], hint="the script needs more memory than its process may use"
            )
        if error:
            raise NodeError("script_error", error["message"], retryable=not error.get("final"))
        return _checked(message["result"], call)

    def _crash(self) -> NodeError:
        ended = self._last_words()
        return NodeError(
            "script_crashed", f"the script's process ended before its function returned: {_told(ended)}"
        )

    def _last_words(self) -> str:
        """How the process ended, as the zygote says it; empty when the zygote is gone, too."""
        ready = select.poll()
        ready.register(self._status, select.POLLIN)
        if not ready.poll(_LAST_WORDS * 1000):
            return ""
        return os.read(self._status, 1024).decode().strip()


def _told(ended: str) -> str:
    word, _, number = ended.partition(" ")
    if word == "signal":
        name = signal.Signals(int(number)).name if int(number) in list(signal.Signals) else f"signal {number}"
        return f"killed by {name}"
    if word == "exit" and int(number) == HOST_BROKEN:
        return "its connection to the worker broke"
    if word == "exit":
        return f"exit code {number} (os._exit?)"
    return "it was killed together with the process that it came from"


def _checked(value: JSON, call: ScriptCall) -> JSON:
    """Refuse what only Python calls JSON: integers past 64 bits, lone surrogates, extreme depth."""
    try:
        orjson.dumps(value)
    except TypeError as error:
        problem = f"{call.function} returned something that is not JSON: {error}"
        raise NodeError("script_error", problem, retryable=False) from error
    return value
