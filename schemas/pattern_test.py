"""A test of a pattern as the rest of Weft sees it: typed, frozen, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from schemas.pattern import JSON
from schemas.positions import Positions
from schemas.quantities import seconds
from schemas.stubs import Stub, stub_from

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
"""The time at which a case begins that does not say when, in seconds since the epoch."""

TESTER: Final = "tester"
"""Who posts an event of a case that does not say who."""


class Answer(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """What is posted to the run. Either `name` with a `body`, or the `answer` to the `approve` node `node`.

    `after`: seconds from the start of the run; None: as soon as the run waits.
    """

    name: str | None = None
    body: JSON = None
    answer: Answer | None = None
    node: str | None = None
    form: JSON = None
    by: str = TESTER
    after: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedError:
    """`type` may name a family; `message` is a part of it."""

    type: str | None = None
    message: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """What has to come of a case; None where nothing is said. `output`, and each of `calls`, is in a tuple.

    `ran` are all nodes of the pattern that run, in the order in which they begin. Each of `calls` is a pattern and,
    in a tuple where it is said, its input.
    """

    status: str | None = None
    ran: tuple[str, ...] | None = None
    not_ran: tuple[str, ...] = ()
    output: tuple[JSON, ...] = ()
    nodes: Mapping[str, JSON] = field(default_factory=dict)
    error: ExpectedError | None = None
    calls: tuple[tuple[str, tuple[JSON, ...]], ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """`now` in seconds since the epoch. `secrets` stand in place of the real ones, which no test sees. A node's
    stub is found by its path: the ids of calls and its own.
    """

    name: str
    line: int
    column: int
    trigger: Mapping[str, JSON] | None = None
    input: JSON = None
    variables: Mapping[str, JSON] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    now: float = NOW
    stubs: Mapping[str, Stub] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    expect: Expectation = Expectation()


@dataclass(frozen=True, kw_only=True)
class PatternTest:
    """What a `PatternTest` document's `spec` says."""

    name: str
    pattern: str
    cases: tuple[Case, ...]


def pattern_test_from_spec(name: str, spec: Mapping[str, JSON], positions: Positions) -> PatternTest:
    """The typed test of a `spec` that passed the checks."""
    places = (positions.value_at(("spec", "cases", at)) for at in range(len(spec["cases"])))
    cases = (_case(one, place) for one, place in zip(spec["cases"], places, strict=True))
    return PatternTest(name=name, pattern=spec["pattern"], cases=tuple(cases))


def _case(written: Mapping[str, JSON], place: tuple[int, int]) -> Case:
    return Case(
        name=written["name"],
        line=place[0],
        column=place[1],
        trigger=written.get("trigger"),
        input=written.get("input"),
        variables=written.get("variables", {}),
        secrets=written.get("secrets", {}),
        now=instant(written["now"]) if "now" in written else NOW,
        stubs={node: stub_from(stub) for node, stub in written.get("stubs", {}).items()},
        events=tuple(_event(one) for one in written.get("events", ())),
        expect=_expectation(written["expect"]),
    )


def instant(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no offset")
    return at.timestamp()


def _event(written: Mapping[str, JSON]) -> Event:
    answer = next((one for one in Answer if one in written), None)
    return Event(
        name=written.get("event"),
        body=written.get("body"),
        answer=answer,
        node=None if answer is None else written[answer],
        form=written.get("form"),
        by=written.get("by", TESTER),
        after=seconds(written["after"]) if "after" in written else None,
    )


def _expectation(written: Mapping[str, JSON]) -> Expectation:
    error = written.get("error")
    calls: Sequence[JSON] | None = written.get("calls")
    return Expectation(
        status=written.get("status"),
        ran=tuple(written["ran"]) if "ran" in written else None,
        not_ran=tuple(written.get("notRan", ())),
        output=(written["output"],) if "output" in written else (),
        nodes=written.get("nodes", {}),
        error=None if error is None else ExpectedError(type=error.get("type"), message=error.get("message")),
        calls=None if calls is None else tuple(_call(one) for one in calls),
    )


def _call(written: Mapping[str, JSON]) -> tuple[str, tuple[JSON, ...]]:
    return written["pattern"], (written["input"],) if "input" in written else ()
