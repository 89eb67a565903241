"""`delay`: sleeps without holding a worker."""

from __future__ import annotations

from datetime import datetime

from runner.attempt import Attempt
from runner.engine import Entry
from runner.nodes.base import NodeError
from schemas.quantities import seconds
from store.spans import SpanStatus


def delay(attempt: Attempt) -> Entry:
    known = attempt.known
    if known is not None and known.wake is not None and not attempt.again:
        if attempt.now >= attempt.limit:
            raise timed_out(attempt)
        return Entry(SpanStatus.COMPLETED, attempt.number)
    inputs = attempt.evaluate(attempt.step.inputs)
    try:
        if "for" in inputs:
            wake = attempt.started + seconds(str(inputs["for"]))
        else:
            wake = datetime.fromisoformat(str(inputs["until"])).timestamp()
    except ValueError as error:
        hint = "Write `for: 10s` or `until:` an RFC 3339 time."
        raise NodeError("bad_delay", str(error), hint=hint, retryable=False) from error
    return Entry(SpanStatus.WAITING, attempt.number, wake=min(wake, attempt.limit))


def timed_out(attempt: Attempt) -> NodeError:
    limit = attempt.step.node.timeout or 0.0
    return NodeError("timeout", f"It took longer than its time limit of {limit:g} s.")
