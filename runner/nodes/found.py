"""What a probe of a connection found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from runner.nodes.base import NodeContext
from schemas.pattern import JSON

_MOST_SAID: Final = 200


@dataclass(frozen=True, kw_only=True)
class Found:
    """`address` without user, password and query; `tls` the version of it. `status` is that of an HTTP answer."""

    address: str
    server: str | None = None
    tls: str | None = None
    status: int | None = None

    def told(self, type_: str, seconds: float) -> JSON:
        said = {
            "type": type_,
            "address": self.address,
            "latencyMs": round(seconds * 1000, 1),
            "server": None if self.server is None else printable(self.server),
            "tls": self.tls,
        }
        return said if self.status is None else {**said, "status": self.status}


class Probe(Protocol):
    """Checks that a connection can be used. Raises NodeError as a node of the kind does."""

    def __call__(self, context: NodeContext, name: str) -> Found: ...


def printable(text: str) -> str:
    """What the other side says, fit for a terminal."""
    return "".join(char if char.isprintable() else " " for char in text)[:_MOST_SAID].strip()
