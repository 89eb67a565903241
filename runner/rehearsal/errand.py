"""The process that runs the tests of a commit: takes them on standard input, and tells of each case as it goes."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from contextlib import closing
from typing import Final

import orjson

from runner.rehearsal.kinds import RehearsedKinds
from runner.rehearsal.library import library_of
from runner.rehearsal.rehearse import CaseResult, listed_tests, rehearse_case
from runner.rehearsal.verdict import Mismatch
from runner.scripts.limits import MemoryLimit, no_core_dumps
from schemas.documents import parse_file
from schemas.json_text import dump
from schemas.pattern import JSON
from schemas.pattern_test import PatternTest

MEMORY: Final = 1024**3
"""Bytes beyond what the process starts with."""

_LONGEST: Final = 300  # characters of a value that a problem shows


def main() -> None:
    """Lines of JSON: `{begins}` and `{passed, …}` for each case, and `{done}`."""
    no_core_dumps()
    MemoryLimit.beyond_now(MEMORY).apply()
    errand = orjson.loads(sys.stdin.buffer.read())
    assets = {path: base64.b64decode(content) for path, content in errand["assets"].items()}
    files = {path: parse_file(path, text.encode()) for path, text in errand["documents"].items()}
    library = library_of(files, lambda path: _asset(assets, path))
    wanted = set(errand["tests"])
    with closing(RehearsedKinds()) as kinds:
        for test in listed_tests(files):
            assert isinstance(test.typed, PatternTest)
            for case in test.typed.cases if test.name in wanted else ():
                _say({"begins": f'the case "{case.name}" of {test.name}'})
                _say(_told(rehearse_case(test, case, library, kinds.handlers)))
    _say({"done": True})


def _asset(assets: Mapping[str, bytes], path: str) -> bytes:
    if path not in assets:
        raise FileNotFoundError(2, "there is no such file", path)
    return assets[path]


def _say(line: JSON) -> None:
    sys.stdout.buffer.write(orjson.dumps(line) + b"\n")
    sys.stdout.buffer.flush()


def _told(result: CaseResult) -> JSON:
    if result.passed:
        return {"passed": True}
    reasons = [*result.faults, *(_difference(one) for one in result.mismatches)]
    if result.error is not None and not result.faults:
        reasons.append(f"the run ended with {result.error.rstrip('.')}")
    failure = {
        "test": result.test,
        "path": result.path,
        "line": result.line,
        "column": result.column,
        "message": f'the case "{result.case}" of {result.test} does not pass: {"; ".join(reasons)}.',
    }
    return {"passed": False, "failure": failure}


def _difference(one: Mismatch) -> str:
    return f"{one.what} should be {_short(one.expected)} and is {_short(one.actual)}"


def _short(value: JSON) -> str:
    text = dump(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
