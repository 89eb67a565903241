"""The `redis` node against a real Valkey, and against servers that do not keep to the rules."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from certificates import own_certificate, server_tls
from node_contexts import GivenConnections, node_context
from tcp_door import tcp_door

from cli.embedded.valkey import Valkey
from runner.nodes.base import NodeError
from runner.nodes.redis import RedisNode
from runner.retries import node_policy
from schemas.errors import ERROR_TYPES, is_a
from schemas.pattern import pattern_from_spec


class Sender:
    """Sends to `port`; keys of the connection come as `spec`, those of the context as `around`."""

    def __init__(self, node: RedisNode, port: int) -> None:
        self.node = node
        self.port = port

    def __call__(self, *command: Any, spec: dict[str, Any] | None = None, **around: Any) -> Any:
        usual = {"type": "redis", "url": f"redis://localhost:{self.port}/9"}
        connections = GivenConnections({"cache": {**usual, **(spec or {})}})
        return self.node(
            node_context(connections, **around), {"connection": "cache", "command": list(command)}
        )

    def error(self, *command: Any, **more: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(*command, **more)
        assert caught.value.type in ERROR_TYPES
        return caught.value


@pytest.fixture(scope="module")
def door(valkey: Valkey) -> Iterator[int]:
    with tcp_door(str(valkey.socket)) as made:
        yield made.port


@pytest.fixture
def send(door: int) -> Iterator[Sender]:
    node = RedisNode()
    sender = Sender(node, door)
    sender("FLUSHDB")
    yield sender
    node.close()


@contextmanager
def answering(*answers: bytes, then: bytes | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives these answers, one for each thing that it hears; then it hangs up, or is silent ("")."""
    heard: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                for answer in answers:
                    heard.append(connection.recv(65536))
                    try:
                        connection.sendall(answer)
                    except OSError:
                        break
                if then is not None:
                    heard.append(connection.recv(65536))
                    while connection.recv(65536):
                        pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1], heard
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


HELLO = b"%1\r\n+server\r\n+redis\r\n"


# Commands and answers


def test_answers_come_as_json(send: Sender) -> None:
    assert send("SET", "a", "Grüße") == "OK"
    assert send("get", "a") == "Grüße"
    assert send("GET", "nothing") is None
    assert send("INCRBY", "n", 5) == 5
    assert send("HSET", "h", "x", 1, "y", 2.5) == 2
    assert send("HGETALL", "h") == {"x": "1", "y": "2.5"}
    assert send("RPUSH", "l", "1", "two", "") == 3
    assert send("LRANGE", "l", 0, -1) == ["1", "two", ""]
    assert send("ZADD", "z", 1.5, "m") == 1
    assert send("ZSCORE", "z", "m") == 1.5
    assert send("ZADD", "z", "inf", "n") == 1
    assert send("ZRANGE", "z", 0, -1, "WITHSCORES") == [["m", 1.5], ["n", "inf"]]
    assert sorted(send("SADD", "s", "q") and send("SMEMBERS", "s")) == ["q"]
    assert send("EVAL", "return {1, {2, 'x'}, false, redis.error_reply('no')}", 0) == [
        1, [2, "x"], None, {"error": "ERR no"},
    ]  # fmt: skip
    assert send("LLEN", "l") == 3


def test_bytes_go_and_come_as_base64(send: Sender) -> None:
    assert send("SET", {"base64": "AP//"}, {"base64": "gIEA"}) == "OK"
    assert send("GET", {"base64": "AP//"}) == {"base64": "gIEA"}
    assert send("HSET", "h", {"base64": "/w=="}, "1") == 1
    assert send("HGETALL", "h") == [[{"base64": "/w=="}, "1"]]


def test_an_argument_is_one_whatever_is_in_it(send: Sender) -> None:
    evil = 'x"\r\n*1\r\n$8\r\nFLUSHALL\r\n'
    assert send("SET", evil, evil) == "OK"
    assert send("GET", evil) == evil
    assert send("DBSIZE") == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["KEYS", "*"], "KEYS is not sent"), (["subscribe", "c"], "SUBSCRIBE is not sent"),
        (["MONITOR"], "MONITOR"), (["SHUTDOWN"], "SHUTDOWN"), (["Config", "GET", "*"], "CONFIG"),
        (["SCRIPT", "FLUSH"], "SCRIPT"), (["MODULE", "LIST"], "MODULE"), (["MULTI"], "MULTI"),
        (["SELECT", 1], "SELECT"), (["FLUSHALL"], "FLUSHALL"), (["CLIENT", "LIST"], "CLIENT"),
        (["BLPOP", "l", 0], "BLPOP would wait without end"), (["BLMPOP", "0", 1, "l", "LEFT"], "BLMPOP would"),
        (["XREAD", "COUNT", 1, "BLOCK", "0", "STREAMS", "s", "$"], "XREAD would"), (["WAIT", 1, 0], "WAIT would"),
        ([], "must be a list"), ([1], "must be a list"), (["GET", True], "true or false"),
        (["GET", ["x"]], "neither text"), (["GET", {"base64": "!"}], "no Base64"), (["GET", None], "neither text"),
        (["GET", "\ud800"], "no valid text"), (["SET", "a", "x" * (17 * 1024 * 1024)], "16,777,216 bytes"),
    ],
)  # fmt: skip
def test_what_would_harm_the_server_or_the_connection_is_not_sent(
    send: Sender, command: list[Any], said: str
) -> None:
    error = send.error(*command, spec={"url": "redis://nobody.invalid"})
    assert (error.type, error.retryable) == ("bad_redis_command", False)
    assert said in error.message
    if command and command[0] == "KEYS":
        assert "SCAN" in error.hint


def test_a_server_that_refuses_is_quoted(send: Sender) -> None:
    send("SET", "a", "text")
    error = send.error("LPUSH", "a", 1)
    assert (error.type, error.retryable) == ("redis_error", False)
    assert error.message.startswith("cache: WRONGTYPE")
    assert is_a("redis_error", ["redis"])
    assert send("GET", "a") == "text"


# Connections


def connected(send: Sender) -> int:
    return int(send("INFO", "clients").split("connected_clients:")[1].split()[0])


def test_one_connection_serves_one_node_after_another_and_goes_when_it_is_forgotten(send: Sender) -> None:
    before = connected(send)
    for _ in range(5):
        send("PING")
    assert connected(send) == before
    threads = [threading.Thread(target=send, args=["BLPOP", "never", 0.3]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other = Sender(RedisNode(), send.port)
    assert connected(other) - before <= 4  # four are kept, and the one that asks
    send.node.forget()
    deadline = time.monotonic() + 5
    while connected(other) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert connected(other) <= before
    other.node.close()


def test_another_address_or_database_is_another_connection(send: Sender) -> None:
    send("SET", "a", 1)
    assert send("GET", "a", spec={"url": f"redis://localhost:{send.port}/8"}) is None
    assert send("GET", "a") == "1"
    with pytest.raises(NodeError) as caught:
        send("GET", "a", allow=())
    assert caught.value.type == "blocked_address"


def test_one_that_broke_is_replaced(send: Sender, valkey: Valkey) -> None:
    with tcp_door(str(valkey.socket)) as door:
        assert send("SET", "a", 1, spec={"url": f"redis://localhost:{door.port}/9"}) == "OK"
        door.drop()
        assert send("GET", "a", spec={"url": f"redis://localhost:{door.port}/9"}) == "1"


def test_a_password_is_given_and_a_wrong_one_said(send: Sender) -> None:
    with redis.Redis(port=send.port) as admin:
        admin.execute_command("ACL SETUSER weft on >s3cret ~* +@all")
        try:
            good = {"user": "weft", "password": "s3cret"}
            assert send("PING", spec=good) == "PONG"
            error = send.error("PING", spec={"user": "weft", "password": "wr0ng"})
            assert (error.type, error.retryable) == ("redis_error", False)
            assert "WRONGPASS" in error.message
            assert "password" in error.hint
            url = f"redis://weft:s3cret@localhost:{send.port}/9"
            assert send("PING", spec={"url": url}) == "PONG"
        finally:
            admin.execute_command("ACL DELUSER weft")


def test_a_wait_ends_with_the_time_and_with_the_run(send: Sender) -> None:
    began = time.monotonic()
    assert send.error("BLPOP", "never", 30, timeout=0.3).type == "timeout"
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    assert send.error("BLPOP", "never", 30, cancelled=cancelled).type == "cancelled"
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    ("node", "attempts"),
    [
        ({"uses": "redis", "with": {"command": ["GET", "a"]}}, 3),
        ({"uses": "redis", "with": {"command": ["INCR", "a"]}}, 1),
        ({"uses": "redis", "with": {"command": "${{ input }}"}}, 1),
        ({"uses": "redis", "with": {"command": ["GET", "a"]}, "retry": {"attempts": 2}}, 2),
        ({"uses": "s3", "with": {"action": "put"}}, 3),
        ({"uses": "probe", "with": {"connection": "a"}}, 3),
        ({"uses": "sql", "with": {"query": "SELECT 1"}}, 1),
    ],
)
def test_what_may_be_repeated_is_tried_three_times(node: dict[str, Any], attempts: int) -> None:
    [read] = pattern_from_spec("p", {"nodes": [{"id": "a", **node}]}).nodes
    assert node_policy(read, node["with"]).attempts == attempts


# Bad servers


@pytest.mark.parametrize(
    ("answer", "type_"),
    [
        (b"", "connection"), (b"HTTP/1.1 200 OK\r\n\r\n", "connection"), (b"$5\r\nab", "connection"),
        (b"*100000000\r\n" + b"*0\r\n" * 260_000, "output_too_large"), (b"$999999999999\r\n", "output_too_large"),
        (b"*1\r\n" * 100, "output_too_large"), (b"$x\r\n", "connection"), (b"+" + b"x" * 200_000, "connection"),
        (b"-LOADING the data\r\n", "redis_error"), (b"$3\r\nabcde\r\n", "connection"), (b":1.5\r\n", "connection"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error_and_never_a_hang(answer: bytes, type_: str) -> None:
    node = RedisNode()
    with answering(HELLO, answer) as (port, _):
        error = Sender(node, port).error("GET", "a", spec={"url": f"redis://127.0.0.1:{port}"})
    node.close()
    assert error.type == type_
    assert error.retryable == (type_ in ("connection", "redis_error"))


def test_an_old_server_is_told_apart() -> None:
    node = RedisNode()
    with answering(b"-NOPROTO unsupported protocol version\r\n") as (port, _):
        error = Sender(node, port).error("GET", "a", spec={"url": f"redis://127.0.0.1:{port}"})
    node.close()
    assert (error.type, "Redis 6" in error.hint) == ("redis_error", True)


def test_tls_is_checked_and_its_authority_can_be_named(tmp_path: Path, valkey: Valkey) -> None:
    certificate = own_certificate(tmp_path)
    node = RedisNode()
    with tcp_door(str(valkey.socket), tls=server_tls(certificate)) as door:
        send = Sender(node, door.port)
        url = f"rediss://localhost:{door.port}/9"
        error = send.error("PING", spec={"url": url})
        assert (error.type, error.retryable) == ("tls", False)
        trusted = {"url": url, "tls": {"ca": certificate.read_text()}}
        assert send("PING", spec=trusted) == "PONG"
        assert send("PING", spec=trusted) == "PONG"
        found = node.probe(node_context(GivenConnections({"cache": {"type": "redis", **trusted}})), "cache")
        assert (found.address, found.tls) == (f"localhost:{door.port}/9", "TLSv1.3")
        assert found.server
    node.close()
