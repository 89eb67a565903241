"""`weft test` on a work tree: what it prints, what it writes for CI, and its exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import typer
from git_work import pattern, trial
from typer.testing import CliRunner, Result

from cli import rehearsal
from cli.side_by_side import side_by_side

app = typer.Typer()
rehearsal.register(app)
ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples-repo"

TWO = """\
apiVersion: weft/v1
kind: PatternTest
metadata: {name: asks}
spec:
  pattern: ask
  cases:
    - name: it answers
      stubs: {ask: {status: 200, body: {state: open, by: "<ada> & \\x1b[31mbob"}}}
      expect: {output: {status: 200, body: {state: closed, by: ada}}, ran: [ask]}
    - name: nobody said what
      expect: {status: failed}
"""
ASK = """\
apiVersion: weft/v1
kind: Pattern
metadata: {name: ask}
spec:
  on: {webhook: {}}
  nodes:
    - {id: ask, uses: http, with: {url: "https://x.example/"}}
    - id: side
      uses: branch
      when: ${{ false }}
      if: ${{ true }}
      then: [{id: inside, uses: log, with: {message: x}}]
  output: ${{ nodes.ask }}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "patterns/ask.yaml": ASK,
        "patterns/hello.yaml": pattern("hello"),
        "tests/ask.yaml": TWO,
        "tests/hello.yaml": trial("greets", "hello", "say", expect="{output: 1}"),
    }
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def weft_test(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_a_failing_case_shows_its_place_expected_and_actual_side_by_side_and_what_ran(root: Path) -> None:
    result = weft_test("asks", root)
    assert result.exit_code == 1
    lines = [line for line in result.output.splitlines() if "  (" not in line]
    assert lines == [
        "      tests/ask.yaml:7, of the pattern ask",
        "      output",
        "        expected              │ actual",
        "        {                     │ {",
        '          "body": {           │   "body": {',
        '            "by": "ada"       ≠     "by": "<ada> & \\u001b[31mbob"',
        '            "state": "closed" ≠     "state": "open"',
        "          }                   │   }",
        '          "status": 200       │   "status": 200',
        "        }                     │ }",
        "      ran: ask",
        "      tests/ask.yaml:10, of the pattern ask",
        "      The http node ask reaches outside, which a test does not. Say what it gives, or how it fails: "
        "stubs: {ask: …}.",
        "      ran: ask",
        "2 of 2 cases failed in " + result.output.rstrip().rpartition(" in ")[2],
    ]


def test_one_line_for_each_case_and_a_summary(root: Path) -> None:
    result = weft_test(root)
    told = [line.rpartition("  (")[0] for line in result.output.splitlines() if "  (" in line]
    assert told == ["FAIL  asks: it answers", "FAIL  asks: nobody said what", "ok    greets: one"]
    assert result.output.splitlines()[-1].startswith("2 of 3 cases failed in ")


@pytest.mark.parametrize("name", ["greets", "hello", "tests/hello.yaml"])
def test_tests_are_chosen_by_name_pattern_or_file(root: Path, name: str) -> None:
    result = weft_test(name, root)
    assert (result.exit_code, result.output.splitlines()[-1].startswith("1 case passed in ")) == (0, True)


def test_a_test_that_is_not_there_is_wrong_usage_and_none_at_all_is_a_no(root: Path) -> None:
    result = weft_test("greet", root)
    assert "Did you mean" in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2
    shutil.rmtree(root / "tests")
    result = weft_test(root)
    assert getattr(result.exception, "exit_code", None) == 1
    assert "has no tests" in str(result.exception)


def test_files_with_problems_are_told_as_validate_does_and_nothing_runs(root: Path) -> None:
    (root / "tests/hello.yaml").write_text(trial("greets", "hello", "sya"))
    result = weft_test(root)
    assert result.output == (
        'tests/hello.yaml:8:15: hello has no node "sya" [unknown-node] Did you mean "say"?\n'
    )
    assert "mend the problems above" in str(result.exception)


def test_the_repository_around_the_folder_is_taken_where_none_is_named(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / ".git").mkdir()
    monkeypatch.chdir(root / "tests")
    assert weft_test("greets").exit_code == 0


def test_json_has_every_case_with_what_differs(root: Path) -> None:
    result = weft_test(root, "--json", "--coverage")
    printed = json.loads(result.output)
    first = printed["cases"][0]
    assert (first["test"], first["case"], first["path"], first["line"]) == (
        "asks",
        "it answers",
        "tests/ask.yaml",
        7,
    )
    assert (first["passed"], first["ran"], first["mismatches"][0]["what"]) == (False, ["ask"], "output")
    assert [one["passed"] for one in printed["cases"]] == [False, False, True]
    assert [one["pattern"] for one in printed["coverage"]] == ["ask", "hello"]
    assert result.exit_code == 1


def test_coverage_names_file_and_line_of_what_no_case_came_by(root: Path) -> None:
    lines = weft_test(root, "--coverage").output.splitlines()
    at = lines.index("ask: 1 of 3 nodes, 0 of 2 sides")
    assert lines[at + 1 : -1] == [
        "  patterns/ask.yaml:8: side never ran",
        "  patterns/ask.yaml:8: side: else was never taken",
        "  patterns/ask.yaml:12: side: then was never taken",
        "  patterns/ask.yaml:12: inside never ran",
        "hello: 1 of 1 nodes",
    ]
    assert "hello:" not in weft_test("asks", root, "--coverage").output


def test_junit_has_what_ci_systems_read(root: Path, tmp_path: Path) -> None:
    """GitLab and Jenkins read testsuite/testcase with name, classname, time and file; a failure's text is shown."""
    report = tmp_path / "reports" / "weft.xml"
    assert weft_test(root, "--junit", report).exit_code == 1
    tree = ET.parse(report).getroot()
    assert (tree.tag, tree.attrib["tests"], tree.attrib["failures"], tree.attrib["errors"]) == (
        "testsuites", "3", "1", "1"
    )  # fmt: skip
    suites = tree.findall("testsuite")
    assert [(one.attrib["name"], one.attrib["tests"], one.attrib["skipped"]) for one in suites] == [
        ("asks", "2", "0"),
        ("greets", "1", "0"),
    ]
    cases = tree.findall("testsuite/testcase")
    for case in cases:
        assert set(case.attrib) == {"name", "classname", "file", "line", "time"}
        assert float(case.attrib["time"]) >= 0
        assert (root / case.attrib["file"]).is_file()
    assert [[child.tag for child in case] for case in cases] == [["failure"], ["error"], []]
    (failure,) = cases[0]
    assert (failure.attrib["type"], failure.attrib["message"]) == ("failure", "output as not expected")
    assert failure.text is not None
    assert failure.text.startswith("tests/ask.yaml:7, of the pattern ask\noutput\n")
    assert "<ada> & " in failure.text


def test_junit_holds_no_character_that_xml_forbids(root: Path, tmp_path: Path) -> None:
    text = TWO.replace("it answers", '"it \\e answers"').replace("name: nobody said what", 'name: "\\uFFFE"')
    (root / "tests/ask.yaml").write_text(text)
    weft_test(root, "--junit", tmp_path / "weft.xml")
    cases = ET.parse(tmp_path / "weft.xml").getroot().findall("testsuite/testcase")
    assert [case.attrib["name"] for case in cases] == ["it \ufffd answers", "\ufffd", "one"]


def test_what_is_long_is_spread_or_wrapped_and_never_cut() -> None:
    assert side_by_side({"text": "x" * 40, "same": [1, 2]}, {"text": "y", "same": [1, 2]}, 30) == [
        "expected                       │ actual",
        "{                              │ {",
        '  "same": [1, 2]               │   "same": [1, 2]',
        '  "text": "xxxxxxxxxxxxxxxxxxx ≠   "text": "y"',
        'xxxxxxxxxxxxxxxxxxxxx"         ≠',
        "}                              │ }",
    ]


def test_a_script_that_hangs_ends_with_the_time_that_scripts_have(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.rehearsal.acting.LONGEST_SCRIPT", 0.3)
    (root / "s.py").write_text("def main(x):\n    while True: pass\n")
    (root / "patterns/hello.yaml").write_text(pattern("hello", script="s.py"))
    started = time.monotonic()
    result = weft_test("greets", root)
    assert time.monotonic() - started < 10
    assert "error: timeout at work: main of s.py did not return within" in result.output


def test_the_examples_pass_and_leave_nothing_out(tmp_path: Path) -> None:
    """As people run it: a command of its own, without a service, and with nothing that it could reach."""
    report = tmp_path / "weft.xml"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WEFT_")}
    done = subprocess.run(
        [sys.executable, "-m", "cli", "test", str(EXAMPLES), "--coverage", "--junit", str(report)],
        cwd=ROOT, env={**environment, "WEFT_DATABASE_URL": "postgresql://nowhere.invalid/"}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert "never" not in done.stdout, "each node and each side of the examples has a case"
    tested = {case.attrib["file"] for case in ET.parse(report).getroot().iter("testcase")}
    assert tested == {f"tests/{path.name}" for path in (EXAMPLES / "patterns").glob("*.yaml")}
