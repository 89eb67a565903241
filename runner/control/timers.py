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
        if attempt.now < known.wake:
            return Entry(SpanStatus.WAITING, attempt.number, wake=known.wake)
        if known.wake >= attempt.limit:
            raise timed_out(attempt)
        return Entry(SpanStatus.COMPLETED, attempt.number)
    inputs = attempt.evaluate(attempt.step.inputs)
    try:
        wake = (
            _instant(str(inputs["until"]))
            if "until" in inputs
            else attempt.started + seconds(str(inputs["for"]))
        )
    except ValueError as error:
        hint = "Write `for: 10s` or `until:` an RFC 3339 time."
        raise NodeError("bad_delay", str(error), hint=hint, retryable=False) from error
    return Entry(SpanStatus.WAITING, attempt.number, wake=min(wake, attempt.limit))


def _instant(text: str) -> float:
    """Seconds since the epoch. Raises ValueError."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} does not say in which zone: add Z, or an offset such as +02:00")
    return time.timestamp()


def timed_out(attempt: Attempt) -> NodeError:
    limit = attempt.step.node.timeout or 0.0
    return NodeError("timeout", f"It took longer than its time limit of {limit:g} s.")
