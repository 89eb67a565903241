"""No spelling of a private address leads an `http` node there, unless the project allows it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from http_site import Sender, Site, json_answer

from runner.nodes.base import NodeError

REFUSED = {"blocked_address", "bad_request", "connection"}
PUBLIC = "93.184.216.34"

BLOCKED = [
    # The parts of an IPv4 address: fewer of them, in decimal, octal and hexadecimal digits
    "127.0.0.1",
    "127.0.1",
    "127.1",
    "127.65535",
    "2130706433",
    "017700000001",
    "0x7f000001",
    "0X7F000001",
    "0x7f.1",
    "0x7f.0.0.1",
    "0X7F.0x0.0.1",
    "0",
    "0.0.0.0",
    "0.1.2.3",
    # IPv6, written long and short
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000:0000:0000:0000:0000:0000:0000:0001]",
    "[::]",
    "[fe80::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fec0::1]",
    "[ff02::1]",
    # An IPv4 address within an IPv6 one: mapped, compatible, translated, NAT64, 6to4, Teredo
    "[::ffff:127.0.0.1]",
    "[::FFFF:7F00:1]",
    "[0:0:0:0:0:ffff:127.0.0.1]",
    "[::ffff:10.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[::127.0.0.1]",
    "[::7f00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    # Other networks: private, shared, link-local (where clouds have their metadata), multicast, broadcast
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "169.254.43518",
    "224.0.0.1",
    "255.255.255.255",
    # Names
    "localhost",
    "LOCALHOST",
    "LocalHost",
    # What stands before the host, and dots that are not ASCII
    "user@127.0.0.1",
    "93.184.216.34@127.0.0.1",
    "93.184.216.34:80@127.0.0.1",
    "127.0.0.2@127.0.0.1",
    "93.184.216.34\\@127.0.0.1",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "127\uff610\uff610\uff611",
]

NO_ADDRESS = [
    # Octal with dots and digits that are not ASCII, which some read and some do not: not taken at all
    "0177.0.0.1",
    "00000177.0.0.1",
    "0251.0376.0251.0376",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460",
    "\u0661\u0662\u0667.\u0660.\u0660.\u0661",
    "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3",
    "loc\u00adalhost",
    # Percent-encoding, zones, white space, brackets
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "%6c%6f%63alhost",
    "127.0.0.1%00.example.com",
    "example.com%40127.0.0.1",
    "[fe80::1%25lo]",
    "[fe80::1%lo]",
    "[::1%25lo]",
    "[127.0.0.1]",
    "[::ffff:127.0.0.1",
    "[v1.127.0.0.1]",
    " 127.0.0.1",
    "127.0.0.1 ",
    "127.0.0.1\t",
    "127.0.0.1\r\nX-Evil: 1",
    "127.0.0.1:0",
]

AS_THE_RESOLVER_SAYS = [
    # Some resolvers find nothing there and others this machine, which is refused then
    "127.0.0.1.",
    "0x7f.0x0.0x0.0x1.",
    "localhost.",
    "foo.localhost",
    "ip6-localhost",
    "4294967296",
    "6425673729",
    "127.0.0.1,x",
    "+127.0.0.1",
    "-127.0.0.1",
]


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Where this process connected to. Public addresses are only said to have been."""
    reached: list[tuple[Any, ...]] = []
    connect = socket.socket.connect

    def record(self: socket.socket, address: tuple[Any, ...]) -> None:
        reached.append(address[:2])
        if address[0] == PUBLIC:
            raise ConnectionRefusedError(111, "Connection refused")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", record)
    return reached


Answers = dict[str, Sequence[Sequence[str]]]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """What a name leads to, at the first question and the next ones."""
    names: Answers = {}
    ask = socket.getaddrinfo
    asked: dict[str, int] = {}

    def resolve(host: str, port: int, *arguments: Any, **options: Any) -> Any:
        if host not in names:
            return ask(host, port, *arguments, **options)
        answers = names[host]
        position = min(asked.get(host, 0), len(answers) - 1)
        asked[host] = position + 1
        return [found for address in answers[position] for found in ask(address, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


def here(host: str, port: int) -> str:
    """The url of a host, at a port where this machine really answers unless the host names one."""
    return f"http://{host}/x" if host.endswith(":0") else f"http://{host}:{port}/x"


# Every spelling


@pytest.mark.parametrize(
    ("host", "types"),
    [
        *((host, {"blocked_address"}) for host in BLOCKED),
        *((host, {"bad_request"}) for host in NO_ADDRESS),
        *((host, REFUSED) for host in AS_THE_RESOLVER_SAYS),
    ],
)
def test_every_spelling_of_a_private_address_is_refused(
    send: Sender, site: Site, reached: list[Any], host: str, types: set[str]
) -> None:
    error = send.error(here(host, site.port), allow=())
    assert error.type in types
    assert not error.retryable or error.type == "connection"
    assert (reached, site.seen) == ([], [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_any_of_them_is_refused(
    send: Sender, site: Site, other: Site, reached: list[Any], status: int
) -> None:
    hosts = [
        host for host in BLOCKED + NO_ADDRESS + AS_THE_RESOLVER_SAYS if host.isascii() and host.isprintable()
    ]
    for host in hosts:
        site.answers["/"] = (status, {"Location": here(host, other.port)}, b"")
        error = send.error(f"http://127.0.0.1:{site.port}/", allow=(f"127.0.0.1:{site.port}",))
        assert error.type in REFUSED, host
    assert set(reached) <= {("127.0.0.1", site.port)}
    assert other.seen == []


@pytest.mark.parametrize("location", ["//127.0.0.2:{port}/", "///127.0.0.2:{port}/", "\\\\127.0.0.2:{port}/"])
def test_a_relative_redirect_leads_nowhere_else(
    send: Sender, site: Site, reached: list[Any], location: str
) -> None:
    site.answers["/"] = (302, {"Location": location.format(port=site.port)}, b"")
    with suppress(NodeError):
        send(f"http://127.0.0.1:{site.port}/", allow=(f"127.0.0.1:{site.port}",))
    assert set(reached) == {("127.0.0.1", site.port)}


@pytest.mark.parametrize("host", ["127.1", "[::ffff:127.0.0.1]", "2130706433", "localhost"])
def test_whatever_else_the_node_asks_is_under_the_same_rules(
    send: Sender, site: Site, other: Site, host: str
) -> None:
    there = here(host, other.port)
    allow = (f"127.0.0.1:{site.port}",)
    url = f"http://127.0.0.1:{site.port}/"
    auth = {"oauth2": {"tokenUrl": there, "clientId": "a", "clientSecret": "b"}}
    assert send.error(url, auth=auth, allow=allow).type == "blocked_address"
    site.answers["/"] = json_answer([1], Link=f"<{there}>; rel=next")
    assert send.error(url, paging={"by": "link"}, allow=allow).type == "blocked_address"
    send.connections["inside"] = {"url": there}
    assert send.error("a", connection="inside", allow=allow).type == "blocked_address"
    assert other.seen == []


# Names


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "::1", "::ffff:127.0.0.1", "10.0.0.1", "169.254.169.254", "fe80::1%lo", "0.0.0.0"],
)
def test_a_name_that_leads_to_one_is_refused(
    send: Sender, site: Site, names: Answers, reached: list[Any], address: str
) -> None:
    names["inside.example"] = [[address]]
    error = send.error(f"http://inside.example:{site.port}/", allow=())
    assert error.type == "blocked_address"
    assert error.message.startswith("inside.example leads to ")
    assert (reached, site.seen) == ([], [])


def test_of_mixed_answers_only_the_public_one_is_used(
    send: Sender, site: Site, names: Answers, reached: list[Any]
) -> None:
    names["mixed.example"] = [["127.0.0.1", PUBLIC, "::1", "10.0.0.1"]]
    assert send.error(f"http://mixed.example:{site.port}/", allow=()).type == "connection"
    assert reached == [(PUBLIC, site.port)]
    assert site.seen == []


def test_the_connection_goes_to_the_address_that_was_checked(
    send: Sender, site: Site, names: Answers, reached: list[Any]
) -> None:
    names["rebound.example"] = [[PUBLIC], ["127.0.0.1"]]
    url = f"http://rebound.example:{site.port}/"
    assert send.error(url, allow=()).type == "connection"
    assert reached == [(PUBLIC, site.port)]
    assert send.error(url, allow=()).type == "blocked_address"
    assert reached == [(PUBLIC, site.port)]
    assert site.seen == []


def test_a_redirect_to_a_name_that_changed_is_refused(send: Sender, site: Site, names: Answers) -> None:
    names["rebound.example"] = [["127.0.0.1"], ["127.0.0.2"]]
    site.answers["/"] = (302, {"Location": "/there", "Connection": "close"}, b"")
    error = send.error(f"http://rebound.example:{site.port}/", allow=("127.0.0.1",))
    assert error.type == "blocked_address"
    assert [seen["path"] for seen in site.seen] == ["/"]


# What the project allows


@pytest.mark.parametrize(
    ("host", "allow"),
    [
        ("127.0.0.1", "127.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1:{port}"),
        ("127.1", "127.0.0.1:{port}"),
        ("2130706433", "127.0.0.1:{port}"),
        ("[::ffff:127.0.0.1]", "127.0.0.1:{port}"),
        ("127.0.0.1", "[::ffff:127.0.0.1]:{port}"),
        ("localhost", "localhost:{port}"),
        ("LOCALHOST", "localhost:{port}"),
        ("localhost", "127.0.0.0/8"),
        ("inside.example", "inside.example:{port}"),
        ("inside.example", "Inside.Example:{port}"),
    ],
)
def test_what_is_allowed_is_reached(send: Sender, site: Site, names: Answers, host: str, allow: str) -> None:
    names["inside.example"] = [["127.0.0.1"]]
    url = f"http://{host}:{site.port}/"
    assert send(url, allow=(allow.format(port=site.port),))["status"] == 200
    assert send.error(url, allow=()).type == "blocked_address"
    assert (
        send.error(url, allow=(allow.format(port=site.port + 1).replace("127.", "126."),)).type
        == "blocked_address"
    )


# The environment


def test_neither_proxies_nor_passwords_come_from_the_environment(
    send: Sender, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login ada password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert "authorization" not in send(site.url)["body"]["headers"]
    assert send.error("https://127.0.0.1/", allow=()).type == "blocked_address"
