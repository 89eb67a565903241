"""Performs nodes: from a node's place in the run to its next entry of the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from runner.attempt import Attempt, describe
from runner.control import containers
from runner.control.answers import respond
from runner.control.calls import Calls
from runner.control.people import People
from runner.control.timers import delay
from runner.cords import Cord
from runner.engine import Close, Entry, Place
from runner.nodes.base import NodeError, NodeHandler
from runner.outside import Outside
from runner.result import Result
from runner.retries import after_failure, node_policy
from runner.state import RunState
from runner.stubbing import play, stub_of
from schemas.errors import ERROR_TYPES
from schemas.expressions import ExpressionFailed
from store.spans import SETTLED, SpanStatus


class Attempts:
    """`handlers` has the kinds that take, do and give; the others are the run's own control."""

    def __init__(self, handlers: Mapping[str, NodeHandler], outside: Outside) -> None:
        self._handlers = handlers
        people = People(outside)
        self._control: dict[str, Callable[[Attempt], Entry]] = {
            "delay": delay,
            "call": Calls(outside),
            "wait": people.wait,
            "approve": people.approve,
            "respond": respond,
        }

    def perform(self, run: RunState, place: Place, known: Entry | None, cord: Cord) -> Result:
        """The entry that follows from one more attempt. A failure is an entry, not an exception."""
        return _worked(Attempt(run, place, known, cord), self._enter)

    def close(self, run: RunState, close: Close) -> Result:
        """The entry of a container whose inside has come to its end."""
        known = run.journal[close.place.path]

        def end(attempt: Attempt) -> Entry:
            if close.late:
                limit = close.place.step.node.timeout or 0.0
                raise NodeError("timeout", f"It took longer than its time limit of {limit:g} s.")
            entry = containers.close(attempt, known, close.end)
            return _again(attempt, entry) if entry.status is SpanStatus.FAILED else entry

        return _worked(Attempt(run, close.place, known, Cord(run.control, True)), end)

    def _enter(self, attempt: Attempt) -> Entry:
        when = attempt.step.when
        if when is not None and attempt.known is None and not attempt.condition(when):
            return Entry(SpanStatus.SKIPPED)
        return self._begin(attempt)

    def _begin(self, attempt: Attempt) -> Entry:
        stub = stub_of(attempt) if attempt.run.context.stubs else None
        if stub is not None:
            return play(attempt, stub)
        step = attempt.step
        kind = step.node.uses
        if kind in self._control:
            return self._control[kind](attempt)
        if step.effect and attempt.unwanted:
            raise NodeError("cancelled", "It was given up before it began.", retryable=False)
        attempt.inputs = attempt.evaluate_inputs()
        if kind in containers.ENTER:
            return containers.ENTER[kind](attempt)
        if kind == "set":
            return attempt.completed(attempt.inputs)
        return attempt.completed(self._handlers[kind](attempt.context(), attempt.inputs))


def _worked(attempt: Attempt, work: Callable[[Attempt], Entry]) -> Result:
    try:
        entry = work(attempt)
    except (NodeError, ExpressionFailed) as error:
        entry = _failed(attempt, error)
    finally:
        if attempt.step.effect:
            attempt.run.control.live.end(attempt.path)
    attempt.entry = entry
    if entry.status in SETTLED:
        attempt.ended = attempt.run.clock()
    return attempt


def _failed(attempt: Attempt, error: NodeError | ExpressionFailed) -> Entry:
    described = describe(error, attempt.path)
    mask = attempt.run.mask
    if mask is not None:
        described |= {key: mask.cut_text(described[key]) for key in ("type", "message", "hint")}
    if attempt.step.secret and attempt.step.node.uses != "fail":
        # It may quote what the node was given, or what came back.
        described["message"] = f"{_meaning(described['type'])} (hidden: the node is secret)"
    if described["type"] in ("timeout", "cancelled") and attempt.unwanted:
        # Not this node's failure: the run, or what stands around it, ends early.
        return Entry(SpanStatus.CANCELLED, attempt.number, error=described)
    failed = Entry(SpanStatus.FAILED, attempt.number, error=described)
    if attempt.known is not None:
        failed.child = attempt.known.child  # also of a call whose time is over: its run has the reason
    return _again(attempt, failed, error.retry_after if isinstance(error, NodeError) else None)


def _meaning(error_type: str) -> str:
    known = ERROR_TYPES.get(error_type)
    return known.means if known else error_type


def _again(attempt: Attempt, failed: Entry, wanted: float | None = None) -> Entry:
    """Another attempt, or the end of the node. `wanted`: seconds that the other side asks for at least."""
    error = failed.error
    if not error["retryable"]:
        return failed
    policy = node_policy(attempt.step.node, attempt.inputs)
    wait = after_failure(policy, failed.attempt, error["type"], attempt.run.chance())
    if wait is None or not _wants_another(attempt, failed):
        return failed
    wake = attempt.run.clock() + max(wait, wanted or 0.0)
    return Entry(SpanStatus.WAITING, failed.attempt, error=error, wake=wake)


def _wants_another(attempt: Attempt, failed: Entry) -> bool:
    condition = attempt.step.later.get("retry")
    if condition is None:
        return True
    try:
        return attempt.condition(condition, error=failed.error)
    except (NodeError, ExpressionFailed) as error:
        attempt.write_log("error", f"`retry.when` cannot be evaluated: {error}")
        return False
