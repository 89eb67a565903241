"""One attempt of one node: from its evaluated input to an entry of the journal."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import datetime

from runner.engine import Entry
from runner.nodes.base import NodeContext, NodeError, NodeHandler
from runner.program import Step
from runner.retries import after_failure, node_policy
from runner.state import Result, RunState, dump
from schemas.expressions import ExpressionFailed, Template
from schemas.pattern import JSON
from schemas.quantities import seconds
from schemas.times import timestamp
from store import execution
from store.database import Database
from store.ids import new_id
from store.journal import ChildRun
from store.spans import SpanStatus

MAX_DEPTH = 32
"""How deep calls may nest."""

MAX_OUTPUT = 16 * 1024 * 1024
"""Bytes of JSON that a node may give."""


class Attempts:
    """Performs nodes. `handlers` has the kinds that take, do and give; the others are the run's own control."""

    def __init__(self, database: Database, handlers: Mapping[str, NodeHandler]) -> None:
        self._database = database
        self._handlers = handlers

    def perform(self, run: RunState, step: Step, known: Entry | None) -> Result:
        """The entry that follows from one more attempt. A failure is an entry, not an exception.

        `known` is the journal's entry so far: of the attempt before, of a timer that is over, of a called run.
        """
        attempt = _Attempt(run, step, known)
        try:
            entry = self._enter(attempt)
        except (NodeError, ExpressionFailed) as error:
            entry = _failure(attempt, _translated(error))
        ended = None if entry.status in (SpanStatus.WAITING, SpanStatus.RUNNING) else run.clock()
        return Result(entry, attempt.started, ended, attempt.log, attempt.child, attempt.output)

    def _enter(self, attempt: _Attempt) -> Entry:
        first = attempt.known is None
        if first and attempt.step.when is not None and not attempt.condition(attempt.step.when):
            return Entry(SpanStatus.SKIPPED)
        match attempt.step.node.uses:
            case "branch":
                taken = "then" if attempt.condition(attempt.step.inputs, "if") else "else"
                return Entry(SpanStatus.RUNNING, taken=taken)
            case "set":
                return _completed(attempt, attempt.evaluate(attempt.step.inputs))
            case "delay":
                return _delay(attempt)
            case "call":
                return self._call(attempt)
            case kind:
                attempt.inputs = attempt.evaluate(attempt.step.inputs)
                output = self._handlers[kind](attempt.context(), attempt.inputs)
                return _completed(attempt, output)

    def _call(self, attempt: _Attempt) -> Entry:
        known = attempt.known
        if known is not None and known.child_status is not None:
            return _called(attempt, known)
        inputs = attempt.evaluate(attempt.step.inputs)
        attempt.child = self._child(attempt, inputs)
        return Entry(SpanStatus.WAITING, attempt.number, child=attempt.child.id)

    def _child(self, attempt: _Attempt, inputs: JSON) -> ChildRun:
        run, pattern, number = attempt.run, inputs["pattern"], inputs.get("version")
        if run.claimed.depth + 1 > MAX_DEPTH:
            raise NodeError("call_depth", f"Calls are nested deeper than {MAX_DEPTH}.", retryable=False)
        with self._database.connection() as connection:
            context = run.context
            closed = execution.closed_callee(connection, context.organisation, pattern, context.environment)
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
            parent_path=attempt.step.path,
        )


class _Attempt:
    """What one attempt gathers on its way."""

    def __init__(self, run: RunState, step: Step, known: Entry | None) -> None:
        self.run = run
        self.step = step
        self.known = known
        self.number = 1 if known is None else known.attempt + (1 if _failed_before(known) else 0)
        self.started = run.clock()
        self.scope = {**run.scope, "now": self.started}
        self.log: list[JSON] = []
        self.inputs: JSON = None
        self.output: str | None = None
        self.child: ChildRun | None = None

    def evaluate(self, template: Template) -> JSON:
        return template.evaluate(self.scope)

    def condition(self, template: Template, key: str | None = None) -> bool:
        value = template.evaluate(self.scope)
        value = value if key is None else value[key]
        if not isinstance(value, bool):
            raise NodeError(
                "not_a_boolean",
                f"The condition gives {dump(value)[:100]}, which is neither true nor false.",
                hint="Compare it with something: `${{ … == … }}`.",
                retryable=False,
            )
        return value

    def context(self) -> NodeContext:
        run, step = self.run, self.step
        limit = min(run.deadline, self.started + (step.node.timeout or float("inf")))
        return NodeContext(
            run_id=run.claimed.id,
            path=step.path,
            attempt=self.number,
            idempotency_key=f"{run.claimed.id}/{step.path}",
            remaining=lambda: limit - run.clock(),
            cancelled=run.control,
            log=self._write_log,
            assets=run.context.assets,
            version_id=run.claimed.version_id,
            network=run.context.network,
        )

    def _write_log(self, level: str, message: str, **fields: JSON) -> None:
        line = {"at": timestamp(self.run.clock()), "level": level, "message": message}
        self.log.append(line | ({"fields": fields} if fields else {}))


def _failed_before(known: Entry) -> bool:
    """Whether the journal's entry is of an attempt that failed (and not of one that sleeps)."""
    return known.error is not None and known.child is None


def _completed(attempt: _Attempt, output: JSON) -> Entry:
    try:
        attempt.output = dump(output)
    except (TypeError, ValueError) as error:
        raise NodeError("output_not_json", f"The output is not JSON: {error}.", retryable=False) from error
    if len(attempt.output) > MAX_OUTPUT:
        message = f"The output has {len(attempt.output):,} characters of JSON; {MAX_OUTPUT:,} are allowed."
        raise NodeError("output_too_large", message, retryable=False)
    return Entry(SpanStatus.COMPLETED, attempt.number, output)


def _delay(attempt: _Attempt) -> Entry:
    if attempt.known is not None and attempt.known.wake is not None and attempt.known.error is None:
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
    return Entry(SpanStatus.WAITING, attempt.number, wake=wake)


def _called(attempt: _Attempt, known: Entry) -> Entry:
    """The called run has ended: its output is the node's, its error too."""
    if known.child_status == "completed":
        return Entry(SpanStatus.COMPLETED, attempt.number, known.output, child=known.child)
    reason = (known.error or {}).get("message", "no reason was recorded")
    hint = f"Read the called run: weft log {known.child}"
    error = NodeError("call_failed", f"The called run ended as {known.child_status}: {reason}", hint=hint)
    entry = _failure(attempt, error)
    entry.child = known.child if entry.status is SpanStatus.FAILED else None
    return entry


def _failure(attempt: _Attempt, error: NodeError) -> Entry:
    """Another attempt, or the end of the node."""
    node = attempt.step.node
    described = describe(error, attempt.step.path)
    delay = None
    if error.retryable:
        policy = node_policy(node, attempt.inputs)
        delay = after_failure(policy, attempt.number, error.type, random.random())
    if delay is None:
        return Entry(SpanStatus.FAILED, attempt.number, error=described)
    wake = attempt.run.clock() + max(delay, error.retry_after or 0.0)
    return Entry(SpanStatus.WAITING, attempt.number, error=described, wake=wake)


def describe(error: NodeError, path: str | None) -> JSON:
    """An error as runs and spans record it."""
    return {
        "type": error.type,
        "message": error.message,
        "node": path,
        "hint": error.hint,
        "retryable": error.retryable,
    }


def _translated(error: NodeError | ExpressionFailed) -> NodeError:
    if isinstance(error, NodeError):
        return error
    return NodeError("expression", error.message, hint=error.hint, retryable=False)
