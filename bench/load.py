"""Keep-alive HTTP clients that post as fast as they are answered; small enough not to be what is measured."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from bench.table import percentile


@dataclass
class Load:
    """What came back. Latencies are in seconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)

    def percentile(self, share: float) -> float:
        return percentile(self.latencies, share)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, load: Load, until: float, done: asyncio.Future[None]) -> None:
        self._request = request
        self._load = load
        self._until = until
        self._done = done
        self._sent = 0.0
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        now = time.perf_counter()
        self._load.latencies.append(now - self._sent)
        status = int(head[9:12])
        self._load.statuses[status] = self._load.statuses.get(status, 0) + 1
        self._answer = b""
        if now < self._until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_result(None)


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 : head.find(b"\r\n", at) if head.find(b"\r\n", at) > 0 else len(head)])


def _request(url: str, body: bytes, method: str, headers: str = "") -> bytes:
    """`headers` are lines, each with its end."""
    parts = urlsplit(url)
    place = f"{parts.path}?{parts.query}" if parts.query else parts.path
    head = f"{method} {place} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


def _itself(client: _Client) -> _Client:
    return client


def post(
    url: str, body: bytes, *, clients: int, seconds: float, method: str = "POST", headers: str = ""
) -> Load:
    """`clients` connections, each with one request under way, for `seconds`."""
    request, host, port = _request(url, body, method, headers), *_place(url)

    async def run() -> Load:
        load = Load()
        loop = asyncio.get_running_loop()
        began = time.perf_counter()
        ends: list[asyncio.Future[None]] = [loop.create_future() for _ in range(clients)]
        for end in ends:
            client = _Client(request, load, began + seconds, end)
            await loop.create_connection(partial(_itself, client), host, port)
        await asyncio.gather(*ends)
        load.seconds = time.perf_counter() - began
        return load

    return uvloop.run(run())


@contextmanager
def beside(url: str, body: bytes, *, clients: int, seconds: float) -> Iterator[Future[Load]]:
    """The same in a process of its own, under way while the block runs."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.submit(post, url, body, clients=clients, seconds=seconds)


class Caller:
    """One connection, one request at a time. The server closes it after five seconds without one."""

    def __init__(self, url: str) -> None:
        self._socket = socket.create_connection(_place(url))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self, url: str, body: bytes, method: str = "POST") -> tuple[int, Any]:
        """The answer's status and what its JSON says."""
        self._socket.sendall(_request(url, body, method))
        head, found, content = b"", b"", b""
        while not found or len(content) < _length(head):
            received = self._socket.recv(65536)
            if not received:
                raise ConnectionError("the server closed the connection")
            head, found, content = (head + found + content + received).partition(b"\r\n\r\n")
        return int(head[9:12]), json.loads(content)

    def close(self) -> None:
        self._socket.close()
