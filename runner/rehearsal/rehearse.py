"""Tests → what became of each of their cases."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from runner.nodes.base import NodeHandler
from runner.rehearsal.frozen import Trace
from runner.rehearsal.library import Library
from runner.rehearsal.stage import EndlessCaseError, Played, Stage
from runner.rehearsal.verdict import Mismatch, mismatches
from schemas.documents import Document, Kind, ParsedFile
from schemas.pattern import JSON
from schemas.pattern_test import Case, PatternTest

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseResult:
    """`faults` are reasons beyond `mismatches` why it does not pass; `log` has the lines of the pattern's nodes.

    `error` is that of the run, in words; `seconds` it took in real time. `traces` as in `Played`.
    """

    test: str
    pattern: str
    case: str
    path: str
    line: int
    column: int
    seconds: float
    status: str
    mismatches: tuple[Mismatch, ...] = ()
    faults: tuple[str, ...] = ()
    error: str | None = None
    ran: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    traces: Mapping[str, Trace]

    @property
    def passed(self) -> bool:
        return not (self.mismatches or self.faults)

    @property
    def place(self) -> str:
        return f"{self.path}:{self.line}"


def listed_tests(files: Mapping[str, ParsedFile]) -> list[Document]:
    """The tests among documents without problems, by file and line."""
    found = [document for file in files.values() for document in file.documents]
    tests = [document for document in found if document.kind is Kind.PATTERN_TEST]
    return sorted(tests, key=lambda one: (one.path, one.line))


def rehearse(
    tests: Sequence[Document], library: Library, handlers: Mapping[str, NodeHandler]
) -> Iterator[CaseResult]:
    """Each case, one after another. The tests' patterns are in the library."""
    for document in tests:
        assert isinstance(document.typed, PatternTest)
        for case in document.typed.cases:
            yield rehearse_case(document, case, library, handlers)


def rehearse_case(
    document: Document, case: Case, library: Library, handlers: Mapping[str, NodeHandler]
) -> CaseResult:
    """One case of the test that a document is."""
    pattern = document.spec["pattern"]
    began = perf_counter()
    faults: tuple[str, ...]
    try:
        played = Stage(library, case, pattern, handlers).play()
        faults = played.faults
    except EndlessCaseError as error:
        played, faults = _NOTHING, (str(error),)
    except Exception as error:
        log.exception("rehearsal_broken", extra={"test": document.name, "case": case.name})
        played, faults = _NOTHING, (f"This is a defect of Weft: {type(error).__name__}: {error}",)
    own = played.traces.get("", Trace())
    wrong = () if faults else tuple(mismatches(case, played, lambda node: library.in_loop(pattern, node)))
    return CaseResult(
        test=document.name,
        pattern=pattern,
        case=case.name,
        path=document.path,
        line=case.line,
        column=case.column,
        seconds=perf_counter() - began,
        status=played.status,
        mismatches=wrong,
        error=None if played.error is None else _error(played.error),
        faults=faults,
        ran=tuple(own.ran),
        log=tuple(_line(path, line) for path, line in own.log),
        traces=played.traces,
    )


def _error(error: JSON) -> str:
    where = "" if error.get("node") is None else f" at {error['node']}"
    return f"{error['type']}{where}: {error['message']}"


def _line(path: str, line: JSON) -> str:
    return f"{path}: {line['message']}"


_NOTHING = Played(status="", output=None, error=None, faults=(), traces={})
