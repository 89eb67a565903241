"""What surrounds a node in a test of that node alone."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.nodes.base import NodeContext, NodeError

LOOPBACK = ("127.0.0.0/8", "::1")


@dataclass
class GivenConnections:
    """Connections as the runner has them, without a database. `specs`: name → spec."""

    specs: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def get(self, name: str, *types: str) -> Mapping[str, Any]:
        if name not in self.specs:
            raise NodeError("unknown_connection", f"There is no connection {name}.", retryable=False)
        spec = self.specs[name]
        if types and spec["type"] not in types:
            raise NodeError("wrong_connection_type", f"{name} is of type {spec['type']}.", retryable=False)
        return {**spec, "name": name, "organisation": "default", "environment": "production"}

    def limit(self, name: str) -> None:
        return None


def node_context(
    connections: GivenConnections,
    *,
    timeout: float = 10.0,
    cancelled: threading.Event | None = None,
    allow: tuple[str, ...] = LOOPBACK,
    key: str = "run-1/node",
) -> NodeContext:
    return NodeContext(
        run_id="run-1",
        path="node",
        attempt=1,
        idempotency_key=key,
        remaining=lambda: timeout,
        cancelled=cancelled or threading.Event(),
        log=lambda *_, **__: None,
        assets=None,  # type: ignore[arg-type]
        version_id="v1",
        network=allow,
        connections=connections,
    )
