"""Node kinds without effect outside the run."""

from __future__ import annotations

from typing import Final

import orjson

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.formats.limits import called
from schemas.pattern import JSON

LEVELS: Final = ("debug", "info", "warning", "error")


def log(context: NodeContext, inputs: JSON) -> JSON:
    level, fields = inputs.get("level", "info"), inputs.get("fields") or {}
    if level not in LEVELS:
        raise NodeError(
            "invalid_data", f'"level" is {str(level)!r:.80}, not one of {", ".join(LEVELS)}', retryable=False
        )
    if not isinstance(fields, dict):
        raise NodeError("invalid_data", f'"fields" must be a mapping, not {called(fields)}', retryable=False)
    message = inputs["message"]
    context.log(level, message if isinstance(message, str) else orjson.dumps(message).decode(), **fields)
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
