"""Node kinds without effect outside the run."""

from __future__ import annotations

from runner.nodes.base import NodeContext, NodeError
from schemas.pattern import JSON


def log(context: NodeContext, inputs: JSON) -> JSON:
    context.log(inputs.get("level", "info"), inputs["message"], **(inputs.get("fields") or {}))
    return None


def fail(context: NodeContext, inputs: JSON) -> JSON:
    """Ends the run. Another attempt of the run follows only where `retry: true` asks for it."""
    inputs = inputs or {}
    raise NodeError(
        str(inputs.get("type", "failed")),
        str(inputs.get("message", "The pattern ended the run with a `fail` node.")),
        retryable=bool(inputs.get("retry", False)),
    )


def stop(context: NodeContext, inputs: JSON) -> JSON:
    return (inputs or {}).get("output")
