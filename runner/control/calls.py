"""`call`: another pattern as a run of its own. The caller leaves the worker until that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runner.attempt import Attempt
from runner.control.timers import timed_out
from runner.engine import Entry
from runner.nodes.base import NodeError
from runner.outside import Outside
from schemas.json_text import dump
from schemas.pattern import JSON
from schemas.times import timestamp
from store.ids import new_id
from store.journal import ChildRun
from store.large import Large
from store.spans import SpanStatus

MAX_DEPTH: Final = 32
"""How deep calls may nest."""

_OF_THE_CALL: Final = frozenset({"concurrency_full", "invalid_input", "invalid_output"})
"""Errors of a called run, and of none of its nodes, that say what is wrong between it and its caller."""


class Calls:
    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def __call__(self, attempt: Attempt) -> Entry:
        known = attempt.known
        if known is None or attempt.again or known.child is None:
            return self._start(attempt)
        if known.child_status is not None:
            return _ended(attempt, known)
        attempt.run.unsaved.orphans.append(known.child)
        raise timed_out(attempt)

    def _start(self, attempt: Attempt) -> Entry:
        inputs = attempt.evaluate(attempt.step.inputs)
        attempt.child = self._child(attempt, inputs)
        wake = None if attempt.step.node.timeout is None else attempt.limit
        return Entry(SpanStatus.WAITING, attempt.number, child=attempt.child.id, wake=wake)

    def _child(self, attempt: Attempt, inputs: JSON) -> ChildRun:
        run, pattern, number = attempt.run, inputs["pattern"], inputs.get("version")
        if run.claimed.depth + 1 > MAX_DEPTH:
            raise NodeError("call_depth", f"Calls are nested deeper than {MAX_DEPTH}.", retryable=False)
        closed = self._outside.closed(run.context, pattern)
        if closed:
            raise NodeError(
                "callee_closed", f"{pattern} cannot be called: {closed}.", hint="Resume it first."
            )
        return ChildRun(
            id=new_id(),
            version_id=run.context.calls[pattern if number is None else f"{pattern}@{number}"],
            pattern=pattern,
            trigger=dump({"kind": "call", "time": timestamp(run.clock())}),
            input=dump(inputs.get("input")),
            parent_path=attempt.path,
        )


def _ended(attempt: Attempt, known: Entry) -> Entry:
    """The called run has ended: its output is the node's, its error too."""
    if known.child_status == "completed":
        mask = attempt.run.mask
        output = known.output if mask is None or type(known.output) is Large else mask.value(known.output)
        return Entry(SpanStatus.COMPLETED, attempt.number, output, child=known.child)
    error = known.error or {}
    if error.get("type") in _OF_THE_CALL and error.get("node") is None:
        retryable = error["type"] == "concurrency_full"
        raise NodeError(error["type"], error["message"], hint=error["hint"], retryable=retryable)
    hint = f"Read the called run: weft log {known.child}"
    raise NodeError("call_failed", _how(known.child_status, error), hint=hint)


def _how(status: str | None, error: Mapping[str, JSON]) -> str:
    if "message" in error:
        return f"The called run ended as {status}: {error['message']}"
    if status == "cancelled":
        return "The called run was cancelled, by somebody or by its deployment's limit."
    return f"The called run ended as {status}."
