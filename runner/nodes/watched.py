"""Socket streams whose waits end at a deadline, and soon after somebody cancels."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self, TypeVar

import httpcore

from runner.nodes.base import Cancelled

TLS_TIMEOUT = 10.0  # seconds
_SLICE = 0.05  # seconds; how late a cancellation may be noticed

T = TypeVar("T")


class DeadlinePassedError(Exception):
    """A wait took longer than it may. The text says what did not come, and for how long."""


class CancelledError(Exception):
    """Somebody does not want the result any more."""


class TlsError(Exception):
    """No trusted connection. `trust` is True when the other side's certificate is the reason."""

    def __init__(self, reason: str, *, trust: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trust = trust


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How long the request that this thread makes may wait."""

    what: str  # what there is none of when time is over
    seconds: float
    deadline: float  # monotonic seconds
    cancelled: Cancelled

    @classmethod
    def start(cls, what: str, seconds: float, cancelled: Cancelled) -> Self:
        return cls(what=what, seconds=seconds, deadline=time.monotonic() + seconds, cancelled=cancelled)

    @classmethod
    def current(cls) -> Watch:
        return _CURRENT.get()

    @contextlib.contextmanager
    def over(self) -> Iterator[None]:
        """Watch every wait within the block."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    def at_most(self, seconds: float, what: str) -> Watch:
        """For a part of the request that has less time than the whole, unless the whole has little left."""
        deadline = time.monotonic() + seconds
        if self.deadline < deadline:
            return self
        return replace(self, what=what, seconds=seconds, deadline=deadline)

    def share(self, parts: int) -> Watch:
        """The first of `parts` equal parts of the time left."""
        return replace(self, deadline=time.monotonic() + self.left() / parts)

    def left(self) -> float:
        """Seconds. Raises when there are none, or when cancelled."""
        if self.cancelled.is_set():
            raise CancelledError
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise DeadlinePassedError(f"{self.what} within {self.seconds:.3g} s")
        return left

    def wait(self, connection: socket.socket, event: int) -> None:
        """Until `connection` can be read (`select.POLLIN`) or written (`select.POLLOUT`)."""
        poll = select.poll()
        poll.register(connection, event)
        while not poll.poll(min(self.left(), _SLICE) * 1000):
            pass


_CURRENT: ContextVar[Watch] = ContextVar("watch")


def _perform(watch: Watch, connection: socket.socket, action: Callable[[], T], event: int) -> T:
    """Do what may have to wait, again and again. TLS may want to write where we read, and the other way round."""
    watch.left()  # where nothing ever has to wait, time passes all the same
    while True:
        try:
            return action()
        except ssl.SSLWantReadError:
            watch.wait(connection, select.POLLIN)
        except ssl.SSLWantWriteError:
            watch.wait(connection, select.POLLOUT)
        except BlockingIOError:
            watch.wait(connection, event)


class WatchedStream(httpcore.NetworkStream):
    """A connected socket that never blocks; time-outs are the current `Watch`'s, not the caller's."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    @classmethod
    def connect(cls, watch: Watch, family: int, address: tuple[str | int, ...]) -> Self:
        """Raises httpcore.ConnectError, DeadlinePassedError, CancelledError."""
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                connection.connect(address)
            watch.wait(connection, select.POLLOUT)
            failure = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            connection.close()
            raise httpcore.ConnectError(error.strerror) from error
        except BaseException:
            connection.close()
            raise
        if failure:
            connection.close()
            raise httpcore.ConnectError(os.strerror(failure))
        return cls(connection)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return _perform(
                Watch.current(), self._socket, lambda: self._socket.recv(max_bytes), select.POLLIN
            )
        except OSError as error:
            raise httpcore.ReadError(error.strerror or str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        try:
            while rest:
                sent = _perform(
                    Watch.current(), self._socket, partial(self._socket.send, rest), select.POLLOUT
                )
                rest = rest[sent:]
        except OSError as error:
            raise httpcore.WriteError(error.strerror or str(error)) from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> WatchedStream:
        """Raises TlsError, httpcore.ConnectError and what `Watch` raises; then the connection is closed."""
        try:
            secure = ssl_context.wrap_socket(
                self._socket, server_hostname=server_hostname, do_handshake_on_connect=False
            )
        except (OSError, ValueError) as error:
            self.close()
            raise TlsError(str(error), trust=False) from error
        stream = WatchedStream(secure)
        try:
            stream._shake_hands(secure)
        except BaseException:
            stream.close()
            raise
        return stream

    def _shake_hands(self, secure: ssl.SSLSocket) -> None:
        try:
            watch = Watch.current().at_most(TLS_TIMEOUT, "no TLS connection")
            _perform(watch, secure, secure.do_handshake, select.POLLIN)
        except ssl.SSLCertVerificationError as error:
            raise TlsError(f"its certificate is not trusted: {error.verify_message}", trust=True) from error
        except ssl.SSLError as error:
            raise TlsError(f"no TLS connection: {error.reason or error.strerror}", trust=False) from error
        except OSError as error:
            raise httpcore.ConnectError(error.strerror or str(error)) from error

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks for: whether an idle connection was closed by the other side, and the socket."""
        if info == "is_readable":
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        return self._socket if info == "socket" else None
