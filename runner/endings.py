"""How a run, or a container within it, comes to rest: what is written when nothing more can be done now."""

from __future__ import annotations

from runner.attempts import describe
from runner.engine import Close, End, Entry, Stopped
from runner.nodes.base import NodeError
from runner.retries import after_failure
from runner.state import Result, RunState, dump
from schemas.expressions import ExpressionFailed
from schemas.json_schemas import violations
from schemas.pattern import JSON
from store.journal import Step
from store.leases import ClaimedRun
from store.runs import RunStatus
from store.spans import SpanStatus


def closed(run: RunState, close: Close) -> Result:
    """A container whose inside has ended."""
    status = SpanStatus.COMPLETED if close.error is None else SpanStatus.FAILED
    return Result(Entry(status, output=close.output, error=close.error), run.clock(), run.clock())


def conclude(run: RunState, end: End, chance: float) -> Step:
    """The end that the engine found: success, another attempt of the whole run, or failure."""
    if end.error is not None:
        return _failed(run, end.error, chance)
    try:
        return ended(run, RunStatus.COMPLETED, output=_output(run, end))
    except ExpressionFailed as error:
        described = describe(NodeError("expression", error.message, hint=error.hint, retryable=False), None)
        return _failed(run, described, chance)


def _output(run: RunState, end: End) -> JSON:
    template = run.context.program.output
    if template is None or (isinstance(end, Stopped) and end.output is not None):
        return end.output
    return template.evaluate({**run.scope, "now": run.clock()})


def _failed(run: RunState, error: JSON, chance: float) -> Step:
    policy, attempt = run.context.retry, run.claimed.attempt
    delay = after_failure(policy, attempt, error["type"], chance) if error["retryable"] else None
    if delay is not None:
        orphans = _cancel_open(run)
        due = run.clock() + delay
        return run.step(RunStatus.WAITING, attempt=attempt + 1, error=dump(error), due=due, orphans=orphans)
    spent = policy.attempts > 1 and attempt >= policy.attempts
    return ended(run, RunStatus.DEAD_LETTER if spent else RunStatus.FAILED, error=error)


def waiting(run: RunState, wake: float | None) -> Step:
    """Nothing can be done before `wake`, or before a called run ends. The time limit goes on."""
    return run.step(RunStatus.WAITING, due=run.deadline if wake is None else min(wake, run.deadline))


def timed_out(run: RunState) -> Step:
    limit = f"The run took longer than its time limit of {run.context.timeout:g} s."
    hint = "Give the pattern or the deployment a longer `timeout`, or see which node took the time."
    error = NodeError("timeout", limit, hint=hint)
    return ended(run, RunStatus.TIMEOUT, error=describe(error, None))


def ended(run: RunState, status: RunStatus, *, output: JSON = None, error: JSON = None) -> Step:
    """The last write of a run: nothing of it stays open, and what it called and nobody awaits is cancelled."""
    orphans = _cancel_open(run)
    return run.step(
        status,
        output=None if output is None else dump(output),
        error=None if error is None else dump(error),
        orphans=orphans,
    )


def _cancel_open(run: RunState) -> list[str]:
    orphans = []
    for step, entry in list(run.open_steps()):
        if entry.child is not None and entry.child_status is None:
            orphans.append(entry.child)
        cancelled = Entry(SpanStatus.CANCELLED, entry.attempt, error=entry.error, child=entry.child)
        run.apply(step, Result(cancelled, run.clock(), run.clock()))
    return orphans


def refused_input(run: RunState) -> Step | None:
    """A called run whose input is not what its pattern asks for ends before its first node."""
    schema = run.context.program.pattern.input_schema
    if run.claimed.trigger_kind != "call" or schema is None or run.journal:
        return None
    reasons = violations(schema, run.claimed.input)
    if not reasons:
        return None
    message = f"The input does not fit the pattern's schema: {'; '.join(reasons)}."
    error = NodeError("invalid_input", message, hint="Give the `call` node another input.", retryable=False)
    return ended(run, RunStatus.FAILED, error=describe(error, None))


def broken(claimed: ClaimedRun, error: Exception) -> Step:
    """Weft itself failed at this run. It ends with that, instead of failing again and again elsewhere."""
    hint = "This is a defect of Weft: the worker's log has the details."
    described = describe(NodeError("internal_error", f"{type(error).__name__}: {error}", hint=hint), None)
    return Step(
        run_id=claimed.id,
        lease=claimed.lease,
        status=RunStatus.FAILED,
        attempt=claimed.attempt,
        span_attempt=claimed.attempt,
        parent_id=claimed.parent_id,
        error=dump(described),
    )
