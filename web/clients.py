"""Who is calling: the peer, or whom trusted proxies say they speak for."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Any, Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_FORWARDED: Final = b"x-forwarded-for"
_MOST: Final = 20  # proxies in a row


class Clients:
    """`trusted` are the ranges whose `X-Forwarded-For` is believed."""

    def __init__(self, trusted: Sequence[str] = ()) -> None:
        self._trusted = networks(trusted)

    def address(self, scope: MutableMapping[str, Any]) -> str | None:
        """The nearest address that is none of ours; None where there is none (a Unix socket), or nonsense."""
        client = scope.get("client")
        if client is None:
            return None
        peer = str(client[0])
        return self._forwarded(scope, address_of(peer)) if self._trusted else peer

    def _forwarded(self, scope: MutableMapping[str, Any], peer: Address | None) -> str | None:
        hops = [hop for name, value in scope["headers"] if name == _FORWARDED for hop in value.split(b",")]
        for hop in reversed(hops[-_MOST:]):
            if peer is None or not contains(self._trusted, peer):
                break
            peer = address_of(hop.strip().decode("latin-1"))
        return None if peer is None else str(peer)


def networks(written: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError for what is no range of addresses."""
    return tuple(ipaddress.ip_network(one) for one in written)


def contains(ranges: Iterable[Network], address: Address) -> bool:
    """An IPv4 address that comes mapped into IPv6 is itself."""
    plain = getattr(address, "ipv4_mapped", None) or address
    return any(plain in one for one in ranges if one.version == plain.version)


def address_of(text: str) -> Address | None:
    """None for nonsense. Also with a port, as some proxies write it: `192.0.2.7:4711`, `[2001:db8::1]:4711`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
