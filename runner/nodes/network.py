"""Where nodes may connect to: public addresses, and what the project's `network.allow` names."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore

from runner.nodes.base import NodeError
from runner.nodes.watched import DeadlinePassedError, Watch, WatchedStream

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], "Future[list[Target]]"]

CONNECT_TIMEOUT = 10.0  # seconds
_LOOK = 0.05  # seconds between two looks at what a wait depends on

# https://www.iana.org/assignments/iana-ipv4-special-registry, and multicast
_SPECIAL_4 = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("10.0.0.0/8"),
    IPv4Network("100.64.0.0/10"),
    IPv4Network("127.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("172.16.0.0/12"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.0.2.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv4Network("192.168.0.0/16"),
    IPv4Network("198.18.0.0/15"),
    IPv4Network("198.51.100.0/24"),
    IPv4Network("203.0.113.0/24"),
    IPv4Network("224.0.0.0/4"),
    IPv4Network("240.0.0.0/4"),
)
# https://www.iana.org/assignments/iana-ipv6-special-registry: what is special within the global unicast range
_GLOBAL_6 = IPv6Network("2000::/3")
_SPECIAL_6 = (
    IPv6Network("2001::/23"),
    IPv6Network("2001:db8::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("3fff::/20"),
)
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, kw_only=True)
class Target:
    """One address that a host name leads to, ready for `connect`."""

    family: socket.AddressFamily
    address: Address
    socket_address: tuple[Any, ...]


def targets(host: str, port: int) -> list[Target]:
    """What `host` leads to, in the system's order. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [
        Target(family=family, address=ip_address(str(there[0])), socket_address=there)
        for family, _, _, _, there in found
    ]


def is_public(address: Address) -> bool:
    address = _meant(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_4)
    return address in _GLOBAL_6 and not any(address in network for network in _SPECIAL_6)


def _meant(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


class NetworkPolicy:
    """`allow`: networks (`10.0.0.0/8`), addresses, `address:port`, `host:port`. Raises ValueError for others."""

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._networks: list[IPv4Network | IPv6Network] = []
        self._endpoints: set[tuple[Address | str, int]] = set()
        for entry in allow:
            self._add(entry)

    def permits(self, host: str, port: int, address: Address) -> bool:
        """Whether a request for `host` and `port` may connect to `address`, one of those that `host` leads to."""
        meant = _meant(address)
        return (
            is_public(address)
            or (host, port) in self._endpoints
            or (meant, port) in self._endpoints
            or any(meant in network for network in self._networks)
        )

    def _add(self, entry: str) -> None:
        with contextlib.suppress(ValueError):
            self._networks.append(ip_network(entry, strict=False))
            return
        host, _, port = entry.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(
                f"{entry!r} is neither a network like 10.0.0.0/8 nor a host and port like db.lan:8080"
            )
        host = host.removeprefix("[").removesuffix("]").lower()
        self._endpoints.add((_address(host) or host, int(port)))


def _address(host: str) -> Address | None:
    try:
        return _meant(ip_address(host))
    except ValueError:
        return None


class CheckedBackend(httpcore.NetworkBackend):
    """Connects to addresses that were checked: a name is resolved once, and to what it gave goes the connection."""

    def __init__(self, policy: NetworkPolicy, resolve: Resolve) -> None:
        self._policy = policy
        self._resolve = resolve

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> WatchedStream:
        watch = Watch.current().at_most(CONNECT_TIMEOUT, "no connection")
        found = self._targets(watch, host, port)
        allowed = [target for target in found if self._policy.permits(host, port, target.address)]
        if not allowed:
            raise _blocked(host, port, found)
        return _connect(watch, allowed)

    def _targets(self, watch: Watch, host: str, port: int) -> list[Target]:
        future = self._resolve(host, port)
        while not future.done():
            try:
                future.exception(min(watch.left(), _LOOK))
            except TimeoutError:
                continue
        try:
            return future.result()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no valid name"
            raise httpcore.ConnectError(f"the address of {host} was not found: {reason}") from error


def _blocked(host: str, port: int, found: Sequence[Target]) -> NodeError:
    addresses = list(dict.fromkeys(str(target.address) for target in found))
    what = f"{host} is" if addresses == [host] else f"{host} leads to {', '.join(addresses)},"
    return NodeError(
        "blocked_address",
        f"{what} an address of this machine, of a private network or of no use: nodes may not connect to it",
        hint=f'to allow it, add "{host}:{port}", or a network, to network.allow in weft.yaml',
        retryable=False,
    )


def _connect(watch: Watch, allowed: Sequence[Target]) -> WatchedStream:
    """To the first that answers; each gets its share of the time."""
    failed: Exception = httpcore.ConnectError("there is no address")
    for position, target in enumerate(allowed):
        share = watch.share(len(allowed) - position)
        try:
            return WatchedStream.connect(share, target.family, target.socket_address)
        except (httpcore.ConnectError, DeadlinePassedError) as error:
            failed = error
    raise failed
