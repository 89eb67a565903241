"""What a case expects, held against what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from runner.rehearsal.frozen import Trace
from runner.rehearsal.stage import Played
from schemas.errors import is_a
from schemas.pattern import JSON
from schemas.pattern_test import Case, ExpectedError


@dataclass(frozen=True, kw_only=True, slots=True)
class Mismatch:
    """`what` is the key of `expect` that does not hold."""

    what: str
    expected: JSON
    actual: JSON


def mismatches(case: Case, played: Played, in_loop: Callable[[str], bool]) -> Iterator[Mismatch]:
    """What does not hold. `in_loop`: whether a node, by its path in the test, may give several outputs."""
    expect, own = case.expect, played.traces.get("", Trace())
    status = expect.status or ("completed" if expect.error is None else None)
    if status is not None and played.status != status:
        yield Mismatch(what="status", expected=status, actual=played.status)
    if expect.error is not None and not _is_that(expect.error, played.error):
        wanted = {"type": expect.error.type, "message": expect.error.message}
        yield Mismatch(what="error", expected=_without_none(wanted), actual=_told(played.error))
    if expect.ran is not None and list(expect.ran) != own.ran:
        yield Mismatch(what="ran", expected=list(expect.ran), actual=own.ran)
    yield from _not_ran(expect.not_ran, played)
    if expect.output and not same(expect.output[0], played.output):
        yield Mismatch(what="output", expected=expect.output[0], actual=played.output)
    for node, wanted in expect.nodes.items():
        outputs = _trace(node, played).outputs(_id(node))
        given = outputs if in_loop(node) else outputs[-1] if outputs else None
        if not same(wanted, given):
            yield Mismatch(what=f"nodes.{node}", expected=wanted, actual=given)
    if expect.calls is not None:
        yield from _calls(expect.calls, own)


def _told(error: JSON) -> JSON:
    return None if error is None else {key: error.get(key) for key in ("type", "message", "node")}


def _without_none(given: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _is_that(expected: ExpectedError, error: JSON) -> bool:
    if error is None:
        return False
    if expected.type is not None and not is_a(error["type"], (expected.type,)):
        return False
    return expected.message is None or expected.message in error["message"]


def _not_ran(nodes: tuple[str, ...], played: Played) -> Iterator[Mismatch]:
    ran = [node for node in nodes if _id(node) in _trace(node, played).ran]
    if ran:
        yield Mismatch(what="notRan", expected=list(nodes), actual={"ran": ran})


def _trace(node: str, played: Played) -> Trace:
    return played.traces.get(node[: len(node) - len(_id(node))], Trace())


def _id(node: str) -> str:
    return node.rpartition("/")[2]


def _calls(expected: tuple[tuple[str, tuple[JSON, ...]], ...], own: Trace) -> Iterator[Mismatch]:
    """Inputs are compared, and shown, where something is said of them."""
    wanted = [{"pattern": name, **({"input": given[0]} if given else {})} for name, given in expected]
    asked = [bool(given) for _, given in expected]
    asked += [True] * (len(own.calls) - len(asked))
    actual = [
        {"pattern": name, **({"input": given} if shown else {})}
        for (name, given), shown in zip(own.calls, asked, strict=False)
    ]
    if not same(wanted, actual):
        yield Mismatch(what="calls", expected=wanted, actual=actual)


def same(one: JSON, other: JSON) -> bool:
    """Whether two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
