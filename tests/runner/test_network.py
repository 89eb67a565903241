"""Where nodes may connect to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from ipaddress import ip_address

import pytest

from runner.nodes.base import NodeError
from runner.nodes.network import CheckedBackend, NetworkPolicy, Target, is_public, targets
from runner.nodes.watched import Watch


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "100.63.255.255", "2606:4700::1", "64:ff9b::808:808"]
)
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_other_addresses_are_not(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    ("allow", "host", "port", "address", "permitted"),
    [
        ("10.0.0.0/8", "db.lan", 80, "10.2.3.4", True),
        ("10.0.0.0/8", "db.lan", 80, "11.2.3.4", True),  # public anyway
        ("10.0.0.0/8", "db.lan", 80, "192.168.0.1", False),
        ("10.0.0.0/8", "db.lan", 80, "::ffff:10.2.3.4", True),
        ("10.2.3.4", "10.2.3.4", 81, "10.2.3.4", True),
        ("fd00::/8", "db.lan", 80, "fd00::1", True),
        ("127.0.0.1:9000", "127.0.0.1", 9000, "127.0.0.1", True),
        ("127.0.0.1:9000", "localhost", 9000, "127.0.0.1", True),
        ("127.0.0.1:9000", "127.0.0.1", 9001, "127.0.0.1", False),
        ("127.0.0.1:9000", "localhost", 9000, "::1", False),
        ("[::1]:9000", "localhost", 9000, "::1", True),
        ("DB.lan:5000", "db.lan", 5000, "192.168.0.1", True),
        ("DB.lan:5000", "other.lan", 5000, "192.168.0.1", False),
    ],
)
def test_what_the_project_allows(allow: str, host: str, port: int, address: str, permitted: bool) -> None:
    assert NetworkPolicy([allow]).permits(host, port, ip_address(address)) is permitted


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.0/33", "db.lan:http", "db.lan:70000", ":80", ""])
def test_an_entry_that_says_nothing_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a network like"):
        NetworkPolicy([entry])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def watch(seconds: float = 5) -> Watch:
    return Watch.start("no answer", seconds, threading.Event())


def test_a_name_that_changes_its_address_between_check_and_use_gains_nothing(listener: socket.socket) -> None:
    """The name is asked once: what was checked is where the connection goes."""
    port = listener.getsockname()[1]
    answers = iter(["127.0.0.1", "93.184.216.34"])

    def resolve(host: str, port: int) -> Future[list[Target]]:
        future: Future[list[Target]] = Future()
        future.set_result(targets(next(answers), port))
        return future

    with watch().over():
        CheckedBackend(NetworkPolicy([f"127.0.0.1:{port}"]), resolve).connect_tcp(
            "rebound.example", port
        ).close()
    assert next(answers) == "93.184.216.34"


def test_only_the_permitted_ones_of_several_addresses_are_tried(listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    def resolve(host: str, port: int) -> Future[list[Target]]:
        future: Future[list[Target]] = Future()
        future.set_result(targets("127.0.0.1", port) + targets("127.0.0.2", port))
        return future

    with watch().over():
        backend = CheckedBackend(NetworkPolicy(["127.0.0.2/32"]), resolve)
        with pytest.raises(Exception, match="Connection refused"):
            backend.connect_tcp("two.example", port)
        with pytest.raises(NodeError, match=r"two.example leads to 127.0.0.1, 127.0.0.2"):
            CheckedBackend(NetworkPolicy(), resolve).connect_tcp("two.example", port)


def test_the_next_address_is_tried_when_one_does_not_answer(listener: socket.socket) -> None:
    port = listener.getsockname()[1]

    def resolve(host: str, port: int) -> Future[list[Target]]:
        future: Future[list[Target]] = Future()
        future.set_result(targets("127.0.0.3", port) + targets("127.0.0.1", port))
        return future

    with watch().over():
        CheckedBackend(NetworkPolicy(["127.0.0.0/8"]), resolve).connect_tcp("two.example", port).close()
