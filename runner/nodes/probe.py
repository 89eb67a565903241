"""`probe`: whether a connection can be used."""

from __future__ import annotations

import time
from collections.abc import Mapping

from runner.nodes.base import NodeContext
from runner.nodes.found import Probe
from schemas.pattern import JSON


class ProbeNode:
    """Takes `{connection}`, gives what was found. `probes`: type of connection → how it is looked at."""

    def __init__(self, probes: Mapping[str, Probe]) -> None:
        self._probes = probes

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        name = str(inputs["connection"])
        type_ = context.connections.get(name)["type"]
        began = time.monotonic()
        found = self._probes[type_](context, name)
        return found.told(type_, time.monotonic() - began)
