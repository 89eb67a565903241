"""How a run comes to rest: what is written when nothing more can be done now."""

from __future__ import annotations

from runner.attempt import describe
from runner.engine import End, Halted, Stopped
from runner.layers import loaded
from runner.masking import Mask
from runner.nodes.base import NodeError
from runner.retries import after_failure
from runner.state import RunState
from schemas.expressions import ExpressionFailed
from schemas.json_schemas import violations
from schemas.json_text import dump
from schemas.pattern import JSON
from store.journal import Step
from store.large import Large
from store.leases import ClaimedRun
from store.runs import RunStatus


def conclude(run: RunState, end: End, ending: RunStatus | None) -> Step:
    """The end that the engine found: success, another attempt of the whole run, or failure.

    `ending` is why the run had to end early (CANCELLED, TIMEOUT), if it had to. What ended well all the same did.
    """
    if isinstance(end, Halted) or (ending is not None and end.error is not None):
        return _timed_out(run) if ending is RunStatus.TIMEOUT else ended(run, RunStatus.CANCELLED)
    if end.error is not None:
        return _failed(run, end.error)
    try:
        output = _output(run, end)
    except (ExpressionFailed, NodeError) as error:
        return _failed(run, describe(error, None))
    return ended(run, RunStatus.COMPLETED, output=output if run.mask is None else _starred(run.mask, output))


def _starred(mask: Mask, output: JSON) -> JSON:
    return output if type(output) is Large else mask.value(output)


def _output(run: RunState, end: End) -> JSON:
    program = run.context.program
    output = end.output
    if program.output is not None and not (isinstance(end, Stopped) and end.output is not None):
        output = program.output.evaluate({**run.flow.root.scope, "now": run.clock()})
    schema = program.pattern.output_schema
    reasons = [] if schema is None else violations(schema, loaded(output))
    if reasons:
        message = f"The output does not fit the pattern's `outputSchema`: {'; '.join(reasons)}."
        raise NodeError("invalid_output", message, retryable=False)
    return output


def _failed(run: RunState, error: JSON) -> Step:
    policy, attempt = run.context.retry, run.claimed.attempt
    delay = after_failure(policy, attempt, error["type"], run.chance()) if error["retryable"] else None
    if delay is not None and _wants_another(run, error):
        run.halt_all()
        due = run.clock() + delay
        return run.step(RunStatus.WAITING, attempt=attempt + 1, error=dump(error), due=due)
    spent = policy.attempts > 1 and attempt >= policy.attempts
    return ended(run, RunStatus.DEAD_LETTER if spent else RunStatus.FAILED, error=error)


def _wants_another(run: RunState, error: JSON) -> bool:
    condition = run.context.retry_when
    if condition is None:
        return True
    try:
        return condition.evaluate({**run.flow.root.scope, "now": run.clock(), "error": error}) is True
    except ExpressionFailed:
        return False


def waiting(run: RunState, wake: float | None, ending: RunStatus | None) -> Step:
    """Nothing can be done before `wake`, or before a called run ends. The time limit goes on, until it is over."""
    if ending is None:
        wake = run.deadline if wake is None else min(wake, run.deadline)
    return run.step(RunStatus.WAITING, due=wake)


def _timed_out(run: RunState) -> Step:
    limit = f"The run took longer than its time limit of {run.context.timeout:g} s."
    hint = "Give the pattern or the deployment a longer `timeout`, or see which node took the time."
    error = NodeError("timeout", limit, hint=hint)
    return ended(run, RunStatus.TIMEOUT, error=describe(error, None))


def ended(run: RunState, status: RunStatus, *, output: JSON = None, error: JSON = None) -> Step:
    """The last write of a run: nothing of it stays open, and what it called and nobody awaits is cancelled."""
    run.halt_all()
    return run.step(
        status,
        output=run.text(output),
        error=None if error is None else dump(error),
        awaited=run.context.awaited and run.claimed.trigger_kind == "webhook",
    )


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


def broken(claimed: ClaimedRun, error: Exception, run: RunState | None = None) -> Step:
    """Weft itself failed at this run. It ends with that, instead of failing again and again elsewhere."""
    hint = "This is a defect of Weft: the worker's log has the details."
    said = f"{type(error).__name__}: {error}"
    if run is not None and run.mask is not None:
        said = run.mask.cut_text(said)
    return outright(claimed, NodeError("internal_error", said, hint=hint), run)


def outright(claimed: ClaimedRun, error: NodeError, run: RunState | None = None) -> Step:
    """The run fails as it is: what it needs to go on is not there. What it called and awaits is cancelled."""
    return Step(
        run_id=claimed.id,
        lease=claimed.lease,
        status=RunStatus.FAILED,
        attempt=claimed.attempt,
        span_attempt=claimed.attempt,
        parent_id=claimed.parent_id,
        error=dump(describe(error, None)),
        orphans=() if run is None else run.called(),
    )
