"""A web server that counts who is with it at one time: from a request to its answer, or to its hanging up."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
)


class Counting:
    """Each request is answered after `seconds`. `most` were there at one time, `served` in all."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.most = 0
        self.served = 0
        self.order: list[str] = []
        self._lock = threading.Lock()
        self._here: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def here(self) -> int:
        with self._lock:
            return len(self._here)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                data = connection.recv(65536)
                if not data:
                    return
                head += data
            self._enter(connection, head.split(b" ", 2)[1].decode())
            left = bool(_gone(connection, self.seconds))
            with self._lock:
                self._here.discard(connection)
                self.served += not left
            if not left:
                connection.sendall(_ANSWER)

    def _enter(self, connection: socket.socket, path: str) -> None:
        with self._lock:
            # Whoever died meanwhile is not here any more, even if its thread has not noticed.
            self._here = {one for one in self._here if not _gone(one, 0)}
            self._here.add(connection)
            self.order.append(path)
            self.most = max(self.most, len(self._here))


def _gone(connection: socket.socket, seconds: float) -> bool:
    return bool(select.select([connection], [], [], seconds)[0])


@contextmanager
def counting(seconds: float) -> Iterator[Counting]:
    site = Counting(seconds)
    try:
        yield site
    finally:
        site.close()
