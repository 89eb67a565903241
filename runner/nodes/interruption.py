"""Ending what a thread waits for and cannot end itself: a statement in a database, a mail server's answer."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from types import TracebackType
from typing import Protocol, Self

from runner.nodes.base import NodeError
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch

_LOOK = 0.05  # seconds between two looks at whether it is over
_GRACE = 1.2  # seconds that the other side has to give up when it was asked to
_AGAIN = 0.3  # seconds until it is asked again


class Cut(Protocol):
    """Two ways to end a wait; both are called by another thread than the one that waits."""

    def interrupt(self) -> None:
        """Ask the other side to give up. May be called again. Raises nothing."""
        ...

    def sever(self) -> None:
        """Break the connection. Raises nothing."""
        ...


class Interruption:
    """Within the block, what `cut` belongs to is ended when `watch` is over. `reason` says why it was, then."""

    def __init__(self, watch: Watch, cut: Cut) -> None:
        self._watch = watch
        self._cut = cut
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="interruption", daemon=True)
        self.reason: NodeError | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()  # an interruption on its way must not meet what is done next

    def _wait(self) -> None:
        while not self._done.wait(_LOOK):
            self.reason = reason_of(self._watch)
            if self.reason is not None:
                self._end()
                return

    def _end(self) -> None:
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            self._cut.interrupt()
            if self._done.wait(_AGAIN):
                return
        self._cut.sever()


def reason_of(watch: Watch) -> NodeError | None:
    """Why a watch is over, or None while it is not."""
    try:
        watch.left()
    except DeadlinePassedError as error:
        return NodeError("timeout", str(error))
    except CancelledError:
        return NodeError("cancelled", "given up with its run", retryable=False)
    return None


class Severing:
    """A `Cut` for a socket, whoever wraps it later: it holds a descriptor of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._descriptor = os.dup(connection.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def interrupt(self) -> None:
        shut(self._descriptor)

    def sever(self) -> None:
        shut(self._descriptor)


def shut(descriptor: int) -> None:
    """End both directions of a socket, by its descriptor, so that whoever waits for it wakes."""
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)
