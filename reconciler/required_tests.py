"""The tests that a project requires: which of them a commit affects, and what became of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from reconciler.landing import Known, Landing
from reconciler.protection import project_of
from reconciler.reader import Reader, Recent
from reconciler.snapshot import Snapshot
from schemas.documents import Document, Kind
from schemas.pattern_test import PatternTest
from schemas.problems import Problem
from schemas.project import Project
from schemas.rehearsals import Examine, Failure, Material, Report

REMEMBERED: Final = 20_000  # outcomes of tests


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What came of the tests that a commit affects. `text` says it in a line."""

    tests: int
    cases: int
    problems: tuple[Problem, ...] = ()

    @property
    def text(self) -> str:
        counted = f"{_count(self.cases, 'case')} of {_count(self.tests, 'test')}"
        if any(problem.code == UNFINISHED for problem in self.problems):
            return f"{counted} ran, and not all came to their end"
        if self.problems:
            return f"{counted} ran, {len(self.problems)} failed"
        return f"{counted} passed"


UNFINISHED: Final = "tests-unfinished"
NOT_TRIED: Final = (
    "not run, because the commit is on no branch of the repository; whoever reviews it can push it"
)


@dataclass(frozen=True, slots=True)
class _Outcome:
    cases: int
    problems: tuple[Problem, ...]
    unfinished: bool = False


class RequiredTests:
    """Remembers what became of a test as long as neither it nor what its pattern comes to has changed.

    Used under the organisation's lock only, like all that reads a repository.
    """

    def __init__(self, examine: Examine | None) -> None:
        """Without `examine` nothing is required: for those who only read."""
        self._examine = examine
        self._outcomes: Recent[str, _Outcome] = Recent(REMEMBERED)

    def affected(self, landing: Landing, known: Known, *, again: bool = False) -> Tried | None:
        """Of the tests whose key the landing changes. None where none are required, or none are affected.

        `again`: what did not come to its end before is tried once more.
        """
        return self._tried(_affected(landing, known), landing, again=again)

    def concern(self, landing: Landing, known: Known) -> bool:
        """Whether there are any."""
        return self._examine is not None and bool(_affected(landing, known))

    def left(self, landing: Landing, known: Known) -> tuple[Problem, ...]:
        """Of a head that is there already: also what did not pass before and is not mended."""
        if known.clean:
            tried = self.affected(landing, known)
        elif _required(landing.view.snapshot):
            tried = self._tried(_keys(landing.view.snapshot), landing, again=False)
        else:
            tried = None
        return () if tried is None else tried.problems

    def _tried(self, wanted: dict[str, str], landing: Landing, *, again: bool) -> Tried | None:
        if self._examine is None or not wanted:
            return None
        known = {name: self._outcomes.peek(key) for name, key in wanted.items()}
        new = [name for name, one in known.items() if one is None or (again and one.unfinished)]
        outcomes = {name: one for name, one in known.items() if one is not None and name not in new}
        for name, outcome in _examined(self._examine, new, landing).items():
            outcomes[name] = outcome
            self._outcomes.put(wanted[name], outcome)
        found = {problem for one in outcomes.values() for problem in one.problems}
        cases = sum(one.cases for one in outcomes.values())
        return Tried(tests=len(wanted), cases=cases, problems=tuple(sorted(found)))


def _affected(landing: Landing, known: Known) -> dict[str, str]:
    before, after = known.snapshot, landing.view.snapshot
    was_required = _required(before)
    if not (was_required or _required(after)):
        return {}
    old = set(_keys(before).values()) if was_required else set()
    return {name: key for name, key in _keys(after).items() if key not in old}


def _required(snapshot: Snapshot) -> bool:
    project = project_of(snapshot)
    return isinstance(project, Project) and project.requires_tests


def _keys(snapshot: Snapshot) -> dict[str, str]:
    """Test → a hash over all that its outcome depends on, and where its cases stand."""
    return {name: key for name, document in _tests(snapshot) if (key := _key(snapshot, document)) is not None}


def _tests(snapshot: Snapshot) -> Iterator[tuple[str, Document]]:
    for name, places in snapshot.places.of_kind(Kind.PATTERN_TEST).items():
        if len(places) == 1 and places[0].document is not None:
            yield name, places[0].document


def _key(snapshot: Snapshot, test: Document) -> str | None:
    assert isinstance(test.typed, PatternTest)
    version = snapshot.frozen.versions.get(test.typed.pattern)
    if version is None:
        return None
    return hashlib.sha256(
        f"{version.id} {test.path} {test.typed!r}".encode("utf-8", "surrogatepass")
    ).hexdigest()


def _examined(examine: Examine, names: list[str], landing: Landing) -> dict[str, _Outcome]:
    if not names:
        return {}
    snapshot = landing.view.snapshot
    tests = {name: document for name, document in _tests(snapshot) if name in names}
    report = examine(_material(snapshot, landing.view.reader, tests.values()))
    return {name: _outcome(tests[name], report) for name in names}


def _outcome(test: Document, report: Report) -> _Outcome:
    assert isinstance(test.typed, PatternTest)
    problems = tuple(_failed(one) for one in report.failures if one.test == test.name)
    cases = len(test.typed.cases)
    if report.unfinished is None:
        return _Outcome(cases, problems)
    where = Problem(
        path=test.path,
        line=test.line,
        column=test.column,
        code=UNFINISHED,
        message=f"the required tests did not come to their end: {report.unfinished}.",
        hint=f"Make the case faster, or mend what it runs: weft test {test.name}.",
    )
    return _Outcome(cases, (*problems, where), unfinished=True)


def _failed(failure: Failure) -> Problem:
    return Problem(
        path=failure.path,
        line=failure.line,
        column=failure.column,
        code="test-failed",
        message=failure.message,
        hint=f"`weft test {failure.test}` shows it side by side.",
    )


def _material(snapshot: Snapshot, reader: Reader, tests: Iterable[Document]) -> Material:
    listed = list(tests)
    patterns = _with_callees(snapshot, {test.spec["pattern"] for test in listed})
    drafts = [snapshot.drafts[name] for name in sorted(patterns)]
    tree = snapshot.tree or ""
    documents = {test.path for test in listed} | {draft.path for draft in drafts}
    assets = {asset.name for draft in drafts for asset in draft.assets}
    return Material(
        tests=tuple(test.name for test in listed),
        documents={path: reader.content(tree, path) for path in sorted(documents)},
        assets={path: reader.content(tree, path) for path in sorted(assets)},
    )


def _with_callees(snapshot: Snapshot, names: set[str]) -> set[str]:
    found, open_ = set(names), list(names)
    while open_:
        calls = snapshot.drafts[open_.pop()].calls
        new = {call.name for call in calls if call.version is None and call.name in snapshot.drafts} - found
        found |= new
        open_.extend(new)
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
