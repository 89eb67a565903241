"""The results of tests as JUnit XML, as GitLab, GitHub's report actions, Jenkins and CircleCI read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import groupby
from xml.etree import ElementTree as ET

from runner.rehearsal.rehearse import CaseResult

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""


def junit_xml(results: Iterable[CaseResult], told: dict[CaseResult, str]) -> bytes:
    """A suite for each test. `told`: what people read about a case that does not pass."""
    listed = list(results)
    root = ET.Element("testsuites", {"name": "weft test", **_counts(listed)})
    for name, group in groupby(listed, key=lambda one: one.test):
        cases = list(group)
        suite = ET.SubElement(root, "testsuite", {"name": _text(name), **_counts(cases)})
        suite.set("skipped", "0")
        suite.set("timestamp", datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        suite.set("file", _text(cases[0].path))
        for case in cases:
            _add(suite, case, told.get(case, ""))
    ET.indent(root)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _counts(cases: list[CaseResult]) -> dict[str, str]:
    return {
        "tests": str(len(cases)),
        "failures": str(sum(1 for one in cases if one.mismatches)),
        "errors": str(sum(1 for one in cases if one.faults)),
        "time": f"{sum(one.seconds for one in cases):.3f}",
    }


def _add(suite: ET.Element, case: CaseResult, told: str) -> None:
    element = ET.SubElement(suite, "testcase")
    element.set("name", _text(case.case))
    element.set("classname", _text(case.test))
    element.set("file", _text(case.path))
    element.set("line", str(case.line))
    element.set("time", f"{case.seconds:.3f}")
    if case.passed:
        return
    kind = "error" if case.faults else "failure"
    first = (
        case.faults[0] if case.faults else f"{', '.join(one.what for one in case.mismatches)} as not expected"
    )
    found = ET.SubElement(element, kind, {"message": _text(first), "type": kind})
    found.text = _text(told)


def _text(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
