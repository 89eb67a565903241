"""A client may be slow, but not for ever; and an answer leaves in one piece."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest
from eventually import eventually
from served import Served

from web import connections

PATIENCE = 0.3
LONGER = 3 * PATIENCE
GET = b"GET / HTTP/1.1\r\nhost: weft\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nhost: weft\r\ncontent-length: %d\r\n\r\n"
PACKETS_WITH_DATA = 152
"""Where Linux's `struct tcp_info` has tcpi_data_segs_in."""

Handler = Callable[[Any, Any, Any], Awaitable[None]]


class App:
    """Answers each request as `handle` does, by default with its body, and notes what it saw."""

    def __init__(self) -> None:
        self.handle: Handler = self.echo
        self.seen: list[str] = []
        self.go = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.handle(scope, receive, send)

    async def body(self, receive: Any) -> bytes:
        body = bytearray()
        while True:
            message = await receive()
            self.seen.append(message["type"])
            body += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(body)

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        await answer(send, await self.body(receive))

    async def word(self) -> None:
        """Returns when the test says `go`, or after a long while."""
        await asyncio.to_thread(self.go.wait, 10)


class Client:
    """One connection, byte by byte."""

    def __init__(self, port: int, *, buffer: int | None = None) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(10)
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(("127.0.0.1", port))
        self._ahead = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def trickle(self, data: bytes, *, every: float) -> None:
        """A byte at a time, until the end or the server's word."""
        for byte in data:
            if select.select([self.socket], [], [], every)[0]:
                return
            self.send(bytes([byte]))

    def rest(self) -> bytes:
        """What comes until the server closes."""
        parts = [self._ahead]
        while part := self.socket.recv(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def until(self, end: bytes) -> bytes:
        """What comes up to and with `end`."""
        while end not in self._ahead:
            part = self.socket.recv(65536)
            assert part, f"closed after {self._ahead!r}"
            self._ahead += part
        found, _, self._ahead = self._ahead.partition(end)
        return found + end

    def answer(self) -> bytes:
        """The body of an answer that says its length."""
        head = self.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 "), head
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(self._ahead) < length:
            self._ahead += self.socket.recv(65536)
        body, self._ahead = self._ahead[:length], self._ahead[length:]
        return body

    def packets(self) -> int:
        info = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return int(struct.unpack_from("I", info, PACKETS_WITH_DATA)[0])


async def start(send: Any, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def piece(send: Any, body: bytes, *, more: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def answer(send: Any, body: bytes) -> None:
    await start(send, (b"content-length", b"%d" % len(body)))
    await piece(send, body)


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture
def port(app: App) -> Iterator[int]:
    with Served(app, patience=PATIENCE) as served:
        yield served.port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    client = Client(port)
    yield client
    client.socket.close()


@pytest.mark.parametrize(
    "sent",
    [b"P", b"POST / HT", b"POST / HTTP/1.1\r\nhost: weft\r\n", HEAD % 10, HEAD % 10 + b"half"],
    ids=["byte", "line", "head", "no body", "body"],
)
def test_a_request_that_never_ends_is_answered_with_408_and_let_go(client: Client, sent: bytes) -> None:
    client.send(sent)
    head, _, body = client.rest().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert b"\r\ncontent-type: application/problem+json\r\n" in head
    assert b"\r\ndate: " in head
    assert b"\r\ncontent-length: %d\r\n" % len(body) in head
    assert head.endswith(b"\r\nconnection: close")
    assert orjson.loads(body)["type"] == "urn:weft:problem:too-slow"


def test_the_application_sees_a_client_that_went_away(client: Client, app: App) -> None:
    client.send(HEAD % 10 + b"half")
    client.rest()

    eventually(lambda: app.seen[-1:] == ["http.disconnect"])
    assert app.seen == ["http.request", "http.disconnect"]


def test_a_connection_that_says_nothing_is_closed_without_an_answer(client: Client) -> None:
    began = time.monotonic()

    assert client.rest() == b""
    assert time.monotonic() - began > 0.9 * PATIENCE


def test_a_head_without_end_is_refused(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nhost: weft\r\n")
    header = b"x-filler: " + b"x" * 8_000 + b"\r\n"
    with contextlib.suppress(ConnectionError):
        for _ in range(1_000):
            client.send(header)
            if select.select([client.socket], [], [], 0.001)[0]:
                break
        else:
            pytest.fail("8 MB of headers were taken")
    assert client.until(b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_a_large_head_and_a_larger_body_are_two_things(client: Client) -> None:
    size = 8 * connections.LONGEST_HEAD
    client.send(b"x-filler: ".join([b"POST / HTTP/1.1\r\nhost: weft\r\n", b"x" * 30_000 + b"\r\n"]))
    client.send(b"content-length: %d\r\n\r\n" % size + bytes(size))
    assert client.answer() == bytes(size)


def test_a_body_that_comes_fast_enough_may_take_its_time(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "SLOWEST", 8)
    with Served(app, patience=0.6) as served:
        client = Client(served.port)
        client.send(HEAD % 40)
        client.trickle(
            b"x" * 40, every=0.04
        )  # three times as fast as need be, three times as long as patience

        assert client.answer() == b"x" * 40
        client.socket.close()


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nx: ", HEAD % 1000], ids=["head", "body"])
def test_a_request_that_trickles_is_cut(client: Client, begun: bytes) -> None:
    began = time.monotonic()
    client.send(begun)
    client.trickle(b"x" * 1000, every=0.02)  # would be done in 20 s

    assert client.rest().startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 10


def test_who_goes_on_sending_reads_why_it_was_refused(client: Client) -> None:
    client.send(b"GET / HTTP/1.1\r\nx: " + b"x" * 70_000)
    time.sleep(0.2)  # the answer is there, and the head is not at its end
    client.send(b"x" * 5_000_000)

    assert client.rest().startswith(b"HTTP/1.1 431 ")


def test_who_stops_is_let_go_however_much_came_before(client: Client) -> None:
    began = time.monotonic()
    client.send(HEAD % 10_000_000 + bytes(8_000_000))  # bytes for two hours

    assert client.rest().startswith(b"HTTP/1.1 408 ")
    assert time.monotonic() - began < 10


def test_every_request_of_a_connection_has_the_same_time(client: Client) -> None:
    client.send(HEAD % 2 + b"ab")
    assert client.answer() == b"ab"
    time.sleep(LONGER)  # nothing is on its way: there is nothing to cut
    client.send(HEAD % 2 + b"cd")
    assert client.answer() == b"cd"
    client.send(HEAD % 2 + b"e")
    assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_bytes_that_begin_no_request_do_not_hold_a_connection(client: Client) -> None:
    """They end uvicorn's time-out of idle connections, and it starts none."""
    client.send(GET)
    assert client.answer() == b""
    client.send(b"\r\n")

    assert client.rest() == b""


def test_an_answer_may_take_as_long_as_it_takes(client: Client, app: App) -> None:
    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        body = await app.body(receive)
        await asyncio.sleep(LONGER)
        await answer(send, body)

    app.handle = slowly
    client.send(HEAD % 2 + b"ab")

    assert client.answer() == b"ab"


def test_a_client_does_not_pay_for_an_application_that_does_not_read(client: Client, app: App) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(LONGER)
        await answer(send, b"%d" % len(await app.body(receive)))

    app.handle = late
    client.send(HEAD % 8_000_000 + bytes(8_000_000))

    assert client.answer() == b"8000000"


def test_a_client_that_was_not_read_has_all_its_time_again(app: App) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await app.word()
        await answer(send, b"%d" % len(await app.body(receive)))

    app.handle = late
    with Served(app, patience=0.6) as served:
        client = Client(served.port)
        client.send(HEAD % 100_001 + bytes(100_000))
        time.sleep(2.3)  # shortly before it would be looked at
        app.go.set()
        time.sleep(0.3)
        client.send(b"x")

        assert client.answer() == b"100001"
        client.socket.close()


def test_a_body_that_was_not_called_for_is_not_late(client: Client, app: App) -> None:
    async def late(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(LONGER)
        await answer(send, await app.body(receive))

    app.handle = late
    client.send(b"POST / HTTP/1.1\r\nhost: weft\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n")
    client.send(b"ab")

    assert client.answer() == b"ab"


def test_a_slow_request_behind_another_does_not_spoil_its_answer(client: Client, app: App) -> None:
    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(LONGER)
        await answer(send, b"first")

    app.handle = slowly
    client.send(GET + GET[:10])

    assert client.answer() == b"first"
    assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_a_request_that_was_answered_before_its_end_is_not_answered_again(client: Client, app: App) -> None:
    async def at_once(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"no")

    app.handle = at_once
    client.send(HEAD % 10 + b"half")

    assert client.answer() == b"no"
    client.send(b".")  # ends uvicorn's time-out of idle connections
    assert client.rest() == b""


def test_head_and_body_of_an_answer_are_one_packet(client: Client) -> None:
    for number in range(1, 11):
        client.send(HEAD % 2 + b"ab")
        assert client.answer() == b"ab"
        assert client.packets() == number


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 200)])
def test_a_head_does_not_wait_for_the_body(client: Client, app: App, method: bytes, status: int) -> None:
    async def head_first(scope: Any, receive: Any, send: Any) -> None:
        await start(send, (b"content-length", b"0"), status=status)
        await app.word()
        await piece(send, b"")

    app.handle = head_first
    client.send(GET.replace(b"GET", method))

    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 %d " % status)
    assert not app.go.is_set()
    app.go.set()


def test_a_stream_arrives_piece_by_piece(client: Client, app: App) -> None:
    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await start(send)
        await piece(send, b"first", more=True)
        await app.word()
        await piece(send, b"second")

    app.handle = stream
    client.send(GET)

    client.until(b"\r\n\r\n5\r\nfirst\r\n")
    app.go.set()
    assert client.until(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"


@pytest.mark.parametrize("size", [1000, 65_536, 1_000_000])
def test_a_reader_that_does_not_read_holds_the_application_back(port: int, app: App, size: int) -> None:
    total, sent = 50_000_000, 0

    async def much(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await start(send)
        while sent < total:
            await piece(send, bytes(size), more=True)
            sent += size
        await piece(send, b"")

    app.handle = much
    client = Client(port, buffer=65_536)
    client.send(GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    client.until(b"\r\n\r\n")
    time.sleep(LONGER)
    held_back_at = sent
    came = len(client.rest())
    client.socket.close()

    assert held_back_at < 10_000_000  # what the kernel takes, and 64 KiB
    assert came > sent >= total


def test_requests_that_come_together_are_answered_in_order(client: Client, app: App) -> None:
    async def faster_and_faster(scope: Any, receive: Any, send: Any) -> None:
        body = await app.body(receive)
        await asyncio.sleep(0.1 / int(body))
        await answer(send, body)

    app.handle = faster_and_faster
    client.send(b"".join(HEAD % 1 + b"%d" % number for number in range(1, 10)))

    assert [client.answer() for _ in range(9)] == [b"%d" % number for number in range(1, 10)]


@pytest.mark.parametrize("size", [0, 2, 100_000, 5_000_000])
def test_the_last_answer_of_a_connection_is_whole(client: Client, size: int) -> None:
    body = b"x" * size
    client.send((HEAD % size).replace(b"host", b"connection: close\r\nhost") + body)

    assert client.rest().partition(b"\r\n\r\n")[2] == body


def test_who_has_nothing_more_to_say_is_still_answered(client: Client, app: App) -> None:
    async def at_once(scope: Any, receive: Any, send: Any) -> None:
        await answer(send, b"goodbye")

    app.handle = at_once
    client.send(GET)
    client.socket.shutdown(socket.SHUT_WR)

    assert client.rest().endswith(b"\r\n\r\ngoodbye")
