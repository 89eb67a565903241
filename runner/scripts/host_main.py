"""Inside a script host: reads calls, runs the user's function, tells the outcome. Standard library only."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import sys
import threading
import traceback
import types
from typing import Any

from runner.scripts.frames import CHUNK, Frames, frame
from runner.scripts.output import Budget, LogText
from runner.scripts.traces import describe, remember_source

_MAX_REAPED = 1000  # ended children; more of them come from some that go on forking
MAX_RESULT = 8 * 1024 * 1024  # bytes of JSON


class UnusableError(Exception):
    """What the user's code gave cannot be used. The text is for its author."""


class HostMain:
    """Serves calls from `channel`, one at a time, until it closes or `idle` seconds pass without one."""

    def __init__(self, channel: socket.socket, folder: str, idle: float) -> None:
        self._channel = channel
        # One system call where `settimeout` would make two of each `recv`.
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(idle))
        self._folder = folder
        self._frames = Frames()
        self._sources: dict[int, tuple[str, str]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self._sending = threading.Lock()
        self._pid = os.getpid()
        self._budget = Budget(self._log)
        self._out = LogText("info", self._budget)
        self._err = LogText("error", self._budget)
        os.register_at_fork(after_in_child=self._leave_channel)

    def serve(self) -> None:
        while (request := self._receive()) is not None:
            answer = self._answer(request)
            if os.getpid() != self._pid:
                return  # a child that the script forked came back from its function
            self._send(answer)
            self._empty_folder()

    def _leave_channel(self) -> None:
        """Forked children of the script must neither answer nor keep the channel open."""
        self._channel.close()

    def _receive(self) -> dict[str, Any] | None:
        while (body := self._frames.next()) is None:
            try:
                data = self._channel.recv(CHUNK)
            except (BlockingIOError, ConnectionError):
                return None
            if not data:
                return None
            self._frames.add(data)
        request: dict[str, Any] = json.loads(body.decode())
        return request

    def _send(self, body: bytes) -> None:
        with self._sending:  # threads of the script may print
            self._channel.sendall(frame(body))

    def _log(self, level: str, text: str) -> None:
        if os.getpid() == self._pid:
            self._send(json.dumps({"log": level, "text": text}).encode())

    def _answer(self, request: dict[str, Any]) -> bytes:
        self._budget.renew()
        sys.stdout, sys.stderr = self._out.open(), self._err.open()
        answer = self._outcome(request)
        self._out.end_call()
        self._err.end_call()
        return b'{"left":"%s",%s}' % (self._left_behind(), answer)

    def _outcome(self, request: dict[str, Any]) -> bytes:
        try:
            return b'"result":' + self._call(request)
        except UnusableError as refusal:
            return _error(str(refusal), final=True)
        except SystemExit as end:
            return _error(f"the script called sys.exit({'' if end.code is None else repr(end.code)[:200]})")
        except MemoryError as error:
            traceback.clear_frames(error.__traceback__)  # what they hold is what there is no room for
            return _error(self._describe(error), memory=True)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is told to its author
            return _error(self._describe(error))

    def _describe(self, error: BaseException) -> str:
        return describe(error, {file for file, _ in self._sources.values()})

    def _call(self, request: dict[str, Any]) -> bytes:
        number = request["module"]
        if "source" in request:
            self._sources[number] = (request["file"], request["source"])
        module = self._modules.get(number) or self._load(number)
        function = getattr(module, request["function"], None)
        if not callable(function):
            raise UnusableError(f"{module.__file__} has no function {request['function']!r}")
        return _as_json(function(request["input"]), request["function"])

    def _load(self, number: int) -> types.ModuleType:
        """Run the file's top level. Where it fails, the next call runs it again."""
        file, source = self._sources[number]
        module = types.ModuleType(f"weft_script_{number}")
        module.__file__ = file
        remember_source(file, source)
        sys.modules[module.__name__] = module  # dataclasses and pickle look there
        exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what this process is for
        self._modules[number] = module
        return module

    def _left_behind(self) -> bytes:
        """What would go on behind the call's back and makes this process unfit for another one."""
        if threading.active_count() > 1:
            return b"threads"
        try:
            for _ in range(_MAX_REAPED):
                if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is None:
                    break
        except ChildProcessError:
            return b""
        return b"processes"

    def _empty_folder(self) -> None:
        try:
            os.chdir(self._folder)
        except FileNotFoundError:
            os.mkdir(self._folder, mode=0o700)
            os.chdir(self._folder)
        for name in os.listdir():
            if os.path.isdir(name) and not os.path.islink(name):
                shutil.rmtree(name, ignore_errors=True)
            else:
                os.unlink(name)


def _error(message: str, **facts: bool) -> bytes:
    return b'"error":' + json.dumps({"message": message, **facts}).encode()


def _as_json(value: Any, function: str) -> bytes:
    try:
        text = _ENCODER.encode(value).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise UnusableError(f"{function} returned something that is not JSON: {error}") from None
    if len(text) > MAX_RESULT:
        raise UnusableError(f"{function} returned {len(text):,} bytes of JSON; {MAX_RESULT:,} are allowed")
    return text


def _refuse(value: Any) -> Any:
    raise TypeError(f"a value of type {type(value).__qualname__}")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"), default=_refuse)


def _timeval(seconds: float) -> bytes:
    return struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
