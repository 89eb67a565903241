"""Containers: what they decide when they are entered, and what becomes of them when their inside has ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from runner.attempt import Attempt
from runner.engine import End, Entry
from runner.layers import loaded
from runner.nodes.base import NodeError
from schemas.functions import to_text
from schemas.pattern import JSON
from schemas.quantities import seconds
from store.spans import SpanStatus

ROUNDS: Final = 100
"""Rounds of a `repeat` that does not say how many it may have."""

MOST_ITEMS: Final = 100_000


def branch(attempt: Attempt) -> Entry:
    taken = "then" if attempt.boolean(attempt.inputs["if"]) else "else"
    return _entered(attempt, taken=[taken])


def switch(attempt: Attempt) -> Entry:
    value = to_text(attempt.inputs["value"])
    if ("cases", value) in attempt.step.blocks:
        return _entered(attempt, taken=["cases", value])
    return _entered(attempt, taken=["default"])


def parallel(attempt: Attempt) -> Entry:
    return _entered(attempt)


def for_each(attempt: Attempt) -> Entry:
    items = attempt.inputs["items"]
    if not isinstance(items, list):
        kind = "null" if items is None else type(items).__name__
        raise NodeError("not_a_list", f"`items` gives {_KINDS.get(kind, kind)}, not a list.", retryable=False)
    if len(items) > MOST_ITEMS:
        message = f"`items` gives {len(items):,} items; {MOST_ITEMS:,} are allowed."
        hint = "Cut the list into pieces, and call a pattern for each."
        raise NodeError("not_a_list", message, hint=hint, retryable=False)
    return _entered(attempt, items=items)


def repeat(attempt: Attempt) -> Entry:
    """The first round; with `while`, perhaps none."""
    goes_on = attempt.step.later.get("while")
    if goes_on is not None and not attempt.condition(goes_on, index=0, previous=None):
        return attempt.completed(None)
    return _entered(attempt, round=0, previous=None)


def next_round(attempt: Attempt, state: Mapping[str, JSON], output: JSON) -> Entry:
    """After a round that ended well."""
    number, output = state["round"], loaded(output)
    while_, until = attempt.step.later.get("while"), attempt.step.later.get("until")
    if until is not None and attempt.condition(until, index=number, previous=output):
        return attempt.completed(output)
    if while_ is not None and not attempt.condition(while_, index=number + 1, previous=output):
        return attempt.completed(output)
    written = attempt.step.node.with_
    limit = written.get("limit", ROUNDS)
    if number + 1 >= limit:
        raise NodeError("repeat_limit", f"It did not come to its end within {limit} rounds.", retryable=False)
    entry = _entered(attempt, round=number + 1, previous=output)
    if "every" in written:
        entry.wake = attempt.now + seconds(written["every"])
    return entry


def try_(attempt: Attempt) -> Entry:
    return _entered(attempt)


def close(attempt: Attempt, known: Entry, end: End) -> Entry:
    """What becomes of a container whose inside has ended by itself."""
    if end.error is not None:
        return Entry(SpanStatus.FAILED, attempt.number, error=end.error)
    if attempt.step.node.uses == "repeat" and known.state is not None:
        return next_round(attempt, known.state, end.output)
    return attempt.completed(end.output)


def _entered(attempt: Attempt, **state: Any) -> Entry:
    return Entry(SpanStatus.RUNNING, attempt.number, state=state)


ENTER: Final[Mapping[str, Callable[[Attempt], Entry]]] = {
    "branch": branch,
    "switch": switch,
    "parallel": parallel,
    "for-each": for_each,
    "repeat": repeat,
    "try": try_,
}
"""By the word in `uses`. The attempt's `inputs` are evaluated."""

_KINDS: Final = {
    "dict": "a mapping",
    "str": "text",
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
}
