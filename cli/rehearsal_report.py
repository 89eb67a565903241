"""The results of tests in words, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict

from cli.printing import took
from cli.side_by_side import NARROW, side_by_side
from runner.rehearsal.coverage import Coverage, Spot
from runner.rehearsal.rehearse import CaseResult
from schemas.pattern import JSON


def failure_lines(result: CaseResult, width: int = NARROW) -> Iterator[str]:
    """Why a case does not pass: where it stands, what differs, which nodes ran and what they said.

    `width`: columns of each side of a difference.
    """
    yield f"{result.place}, of the pattern {result.pattern}"
    yield from result.faults
    for one in result.mismatches:
        yield one.what
        yield from (f"  {line}" for line in side_by_side(one.expected, one.actual, width))
    if result.error is not None and not result.faults:
        yield f"error: {result.error}"
    if result.ran:
        yield f"ran: {' → '.join(result.ran)}"
    yield from (f"log: {line}" for line in result.log)


def summary(results: Sequence[CaseResult]) -> str:
    failed = sum(1 for one in results if not one.passed)
    cases = f"{len(results)} case{'' if len(results) == 1 else 's'}"
    said = f"{failed} of {cases} failed" if failed else f"{cases} passed"
    return f"{said} in {took(sum(one.seconds for one in results) * 1000)}"


def coverage_lines(found: Sequence[Coverage]) -> Iterator[str]:
    for one in found:
        nodes = [spot for spot in one.spots if spot.side is None]
        sides = [spot for spot in one.spots if spot.side is not None]
        yield f"{one.pattern}: {_share(nodes, 'nodes')}{', ' if sides else ''}{_share(sides, 'sides')}"
        for spot in one.missed:
            yield f"  {one.path}:{spot.line}: {_missed(spot)}"


def _share(spots: list[Spot], noun: str) -> str:
    covered = sum(1 for spot in spots if spot.covered)
    return f"{covered} of {len(spots)} {noun}" if spots else ""


def _missed(spot: Spot) -> str:
    return f"{spot.node} never ran" if spot.side is None else f"{spot.node}: {spot.side} was never taken"


def case_as_json(result: CaseResult) -> JSON:
    return {
        "test": result.test,
        "case": result.case,
        "pattern": result.pattern,
        "path": result.path,
        "line": result.line,
        "passed": result.passed,
        "status": result.status or None,
        "durationMs": round(result.seconds * 1000, 3),
        "ran": list(result.ran),
        "mismatches": [asdict(one) for one in result.mismatches],
        "error": result.error,
        "faults": list(result.faults),
        "log": list(result.log),
    }


def coverage_as_json(found: Coverage) -> JSON:
    return {"pattern": found.pattern, "path": found.path, "spots": [asdict(spot) for spot in found.spots]}
