"""A TCP port (or TLS) before a server that has only a Unix socket: it is reached, and lost, as over a network."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class TcpDoor:
    """`port` on 127.0.0.1 leads to `path`. `opened` counts the connections that came."""

    def __init__(self, path: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._path = path
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.opened = 0
        self._through: list[socket.socket] = []
        self._deaf = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def drop(self) -> None:
        """Break every connection that goes through."""
        for one in self._through:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def deafen(self) -> None:
        """From now on nothing gets through, neither bytes nor the end of a connection."""
        self._deaf.set()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._closed.set()
        self.drop()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            self.opened += 1
            there = socket.socket(socket.AF_UNIX)
            there.connect(self._path)
            self._through += [here, there]
            threading.Thread(target=self._carry, args=[here, there], daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        if self._tls is not None:
            try:
                here = self._tls.wrap_socket(here, server_side=True)
            except OSError:
                there.close()
                return
        other = {here: there, there: here}
        with here, there, suppress(OSError):
            while True:
                for ready in select.select([here, there], [], [])[0]:
                    if self._deaf.is_set():
                        self._closed.wait()
                        return
                    data = ready.recv(65536)
                    if not data:
                        return
                    while isinstance(ready, ssl.SSLSocket) and ready.pending():
                        data += ready.recv(65536)
                    other[ready].sendall(data)


@contextmanager
def tcp_door(path: str, *, tls: ssl.SSLContext | None = None) -> Iterator[TcpDoor]:
    door = TcpDoor(path, tls)
    try:
        yield door
    finally:
        door.close()
