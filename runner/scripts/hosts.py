"""The pool of script hosts of one worker process."""

from __future__ import annotations

import threading
import time
from typing import Self

from runner.nodes.base import Cancelled
from runner.scripts.channel import Patience
from runner.scripts.host import Host, Log, ScriptCall
from runner.scripts.zygote import MEMORY, Zygotes
from schemas.pattern import JSON

__all__ = ["ScriptCall", "ScriptHosts"]

_GRACE = (
    5.0  # seconds that a host outlives its idle time, so that none ends between being chosen and being called
)


class ScriptHosts:
    """Runs calls in warm processes, for any number of threads. Nothing is started before the first call.

    `memory`: bytes that a host may use beyond what it starts with.
    `idle`: seconds after which an unused host ends.
    `limit`: how many hosts there may be; a call beyond it replaces the one unused longest, or waits.
    `zygotes` forks them; commands may come from it, too.
    """

    def __init__(self, *, memory: int = MEMORY, idle: float = 60, limit: int = 16) -> None:
        self.zygotes = Zygotes(memory=memory, idle=idle + _GRACE)
        self._idle = idle
        self._limit = limit
        self._change = threading.Condition()
        self._unused: list[Host] = []  # by time, the longest unused first
        self._places = limit

    def call(self, call: ScriptCall, *, timeout: float, cancelled: Cancelled, log: Log) -> JSON:
        """What the function returned, as JSON. `log(level, line)` gets what it prints while it runs.

        Raises NodeError: `script_error` (an exception, sys.exit, a result that is not JSON),
        `script_crashed` (the process ended), `no_process`, `timeout`, `cancelled`.
        """
        late = f"{call.function} of {call.file} did not return"
        patience = Patience.start("the script", late, timeout, cancelled)
        host = self._take(call.version, patience)
        try:
            return host.call(call, patience, log)
        finally:
            self._give_back(host)

    def close(self) -> None:
        """End all hosts. Calls in progress fail; a later call starts anew."""
        with self._change:
            unused, self._unused = self._unused, []
            self._places += len(unused)
        for host in unused:
            host.close()
        self.zygotes.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, version: str, patience: Patience) -> Host:
        while True:
            host = self._reserve(version, patience)
            if host is None:
                return self._start(version)
            if host.version == version and not self._expired(host) and host.alive():
                return host
            self._drop(host)

    def _reserve(self, version: str, patience: Patience) -> Host | None:
        """A host of `version`, one of another version to end first, or None: the caller may start one."""
        with self._change:
            while True:
                if host := self._choose(version):
                    self._unused.remove(host)
                    return host
                if self._places:
                    self._places -= 1
                    return None
                self._change.wait(patience.slice())

    def _choose(self, version: str) -> Host | None:
        """The host of `version` used last, or one that has to go: idle too long, or in the way."""
        if self._unused and self._expired(self._unused[0]):
            return self._unused[0]
        own = next((host for host in reversed(self._unused) if host.version == version), None)
        return own or (self._unused[0] if self._unused and not self._places else None)

    def _expired(self, host: Host) -> bool:
        return host.idle_since < time.monotonic() - self._idle

    def _start(self, version: str) -> Host:
        try:
            return Host(version=version, channel=self.zygotes.fork("script"))
        except BaseException:
            self._free_place()
            raise

    def _give_back(self, host: Host) -> None:
        if not host.reusable:
            self._drop(host)
            return
        with self._change:
            host.idle_since = time.monotonic()
            self._unused.append(host)
            self._change.notify()

    def _drop(self, host: Host) -> None:
        host.close()
        self._free_place()

    def _free_place(self) -> None:
        with self._change:
            self._places += 1
            self._change.notify()
