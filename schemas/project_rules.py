"""What must hold within a project's settings beyond their shape."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_network
from typing import Final

from schemas.mistakes import Mistake
from schemas.pattern import JSON

_HOST_AND_PORT: Final = re.compile(
    r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?):([0-9]{1,5})"
)


def project_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """The entries of `network.allow` that are neither an address range nor a host with a port."""
    network = spec.get("network")
    allowed = network.get("allow") if isinstance(network, dict) else None
    for index, entry in enumerate(allowed if isinstance(allowed, list) else ()):
        wrong = _wrong(entry) if isinstance(entry, str) else None
        if wrong:
            path = ("spec", "network", "allow", index)
            hint = 'Write an address range such as 10.0.0.0/8, or "127.0.0.1:9000".'
            yield Mistake(path=path, code="invalid-value", message=wrong, hint=hint)


def _wrong(entry: str) -> str | None:
    match = _HOST_AND_PORT.fullmatch(entry)
    if match and 0 < int(match[1]) < 65536:
        return None
    try:
        ip_network(entry)
    except ValueError as error:
        reason = ": it has host bits set" if "host bits" in str(error) else ""
        return f"{entry!r:.200} cannot be allowed{reason}"
    return None
