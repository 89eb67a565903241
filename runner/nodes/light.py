"""Node kinds without effect outside the run."""

from __future__ import annotations

import re
from typing import Final

import orjson

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.formats.limits import called
from schemas.pattern import JSON

_TYPE: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")

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
    message = inputs.get("message", "The pattern ended the run with a `fail` node.")
    type_ = inputs.get("type", "failed")
    retryable, hint = bool(inputs.get("retry", False)), ""
    if not isinstance(type_, str) or not _TYPE.fullmatch(type_):
        hint = f"Its `type` gave {type_!r:.100}: a type has letters, digits, dots, hyphens and underscores."
        type_ = "failed"
    raise NodeError(type_, str(message), hint=hint, retryable=retryable)


def stop(context: NodeContext, inputs: JSON) -> JSON:
    return (inputs or {}).get("output")
