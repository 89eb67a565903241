"""`wait` and `approve`: what is posted to the run makes them go on. Until then they hold no worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from runner.attempt import Attempt
from runner.control.timers import timed_out
from runner.engine import FOREVER, Entry
from runner.nodes.base import NodeError
from runner.outside import Outside
from schemas.expressions import ExpressionFailed
from schemas.json_text import dump
from schemas.pattern import JSON
from schemas.quantities import seconds
from store.run_events import APPROVAL, RunEvent
from store.spans import SpanStatus

_APPROVE: Final = {"count": 1, "notRequester": True, "approvers": [], "form": None, "message": None}


class People:
    """Reads what was posted, once for each time that the run looks again."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def wait(self, attempt: Attempt) -> Entry:
        inputs = attempt.evaluate(attempt.step.inputs)
        _check(inputs, "event", isinstance(inputs["event"], str), "a text")
        for event in self._events(attempt):
            if event.name == inputs["event"] and _matches(attempt, event):
                _consume(attempt, [event])
                return attempt.completed(event.body)
        return self._wait(attempt, inputs, {"event": inputs["event"]})

    def approve(self, attempt: Attempt) -> Entry:
        inputs = {**_APPROVE, **attempt.evaluate(attempt.step.inputs)}
        _check(inputs, "approvers", _is_list_of_texts(inputs["approvers"]), "a list of names")
        _check(inputs, "notRequester", isinstance(inputs["notRequester"], bool), "true or false")
        answers = [e for e in self._events(attempt) if e.name == APPROVAL and e.body["node"] == attempt.path]
        by_person = {answer.actor: answer for answer in answers}  # the last answer of a person counts
        refused = [answer for answer in by_person.values() if not answer.body["approved"]]
        if refused:
            _consume(attempt, answers)
            return attempt.completed(_decided(False, refused[:1]))
        if len(by_person) >= inputs["count"]:
            _consume(attempt, answers)
            return attempt.completed(_decided(True, list(by_person.values())))
        asked = {key: inputs[key] for key in _APPROVE} | {"approvedBy": sorted(map(str, by_person))}
        return self._wait(attempt, inputs, asked)

    def _wait(self, attempt: Attempt, inputs: dict[str, Any], asked: JSON) -> Entry:
        patience = FOREVER
        if inputs.get("timeout") is not None:
            patience = attempt.started + _duration(inputs["timeout"])
        wake = min(patience, attempt.limit)
        if attempt.now < wake:
            timer = None if wake == FOREVER else wake
            return Entry(SpanStatus.WAITING, attempt.number, output=asked, wake=timer)
        if attempt.limit < patience:
            raise timed_out(attempt)  # the node's own limit says nothing of what then counts as an answer
        match inputs.get("onTimeout", "fail"):
            case "approve":
                return attempt.completed(_decided(True, []))
            case "reject":
                return attempt.completed(_decided(False, []))
        raise NodeError("timeout", f"Nothing came within {inputs['timeout']}.", retryable=False)

    def _events(self, attempt: Attempt) -> Sequence[RunEvent]:
        run = attempt.run
        if run.events is None:
            run.events = self._outside.posted(run.claimed.id)
        return list(run.events)


def _consume(attempt: Attempt, events: Sequence[RunEvent]) -> None:
    """No other node gets them."""
    attempt.consumed = [event.id for event in events]
    attempt.run.events = [event for event in attempt.run.events or () if event not in events]


def _matches(attempt: Attempt, event: RunEvent) -> bool:
    match = attempt.step.later.get("match")
    if match is None:
        return True
    shown = {"name": event.name, "body": event.body, "actor": event.actor}
    try:
        return attempt.condition(match, event=shown)
    except ExpressionFailed as error:
        # An event that lacks what the condition looks at is one for somebody else.
        attempt.write_log("debug", f"An event was passed over: {error.message}")
        return False


def _decided(approved: bool, answers: Sequence[RunEvent]) -> JSON:
    form = answers[-1].body.get("form") if answers else None
    return {"approved": approved, "by": [answer.actor for answer in answers], "form": form}


def _check(inputs: dict[str, JSON], key: str, fits: bool, wanted: str) -> None:
    if not fits:
        message = f"`{key}` is {wanted}, not {dump(inputs[key])[:100]}."
        raise NodeError("invalid_data", message, hint="Look at what its expression gives.", retryable=False)


def _is_list_of_texts(value: JSON) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _duration(text: JSON) -> float:
    try:
        return seconds(str(text))
    except ValueError as error:
        hint = "Write `timeout: 30m`."
        raise NodeError("bad_delay", str(error), hint=hint, retryable=False) from error
