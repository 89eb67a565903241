"""Where `weft.yaml` says `requireTests`, what a push affects has to pass its tests before anything moves."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from git_work import Work, deployment, pattern, trial

from reconciler.actor import Actor
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from runner.rehearsal.troupe import Troupe
from schemas.rehearsals import Material, Report
from store.database import Database
from store.deployments import Deployment
from store.repositories import repository_state

REQUIRED = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\nspec: {requireTests: true}\n"
SCRIPT = "def main(x):\n    return 41\n"
GOOD = trial("greets", "hello", "say", expect="{output: 1}")
BAD = trial("greets", "hello", "say", expect="{output: 2, ran: [say]}")


class Counting:
    """Runs tests as the service does, and remembers which."""

    def __init__(self, limit: float = 20.0) -> None:
        self.asked: list[list[str]] = []
        self._troupe = Troupe(limit)

    def __call__(self, material: Material) -> Report:
        self.asked.append(sorted(material.tests))
        return self._troupe(material)


@pytest.fixture
def examined() -> Counting:
    return Counting()


@pytest.fixture
def reconciler(database: Database, tmp_path: Path, examined: Counting) -> Reconciler:
    return Reconciler(
        database,
        tmp_path / "git",
        installation_key=b"k" * 32,
        public_url="http://127.0.0.1:8080",
        examine=examined,
    )


@pytest.fixture
def required(work: Work) -> Work:
    """A repository that requires tests, with a pattern, what it calls, its script, and a test of each."""
    work.commit(
        {
            "weft.yaml": REQUIRED,
            "patterns/hello.yaml": pattern("hello", calls="other"),
            "patterns/other.yaml": pattern("other", script="scripts/a.py"),
            "patterns/alone.yaml": pattern("alone"),
            "scripts/a.py": SCRIPT,
            "deployments/hello.yaml": deployment("hello"),
            "tests/hello.yaml": trial("greets", "hello", "say", expect="{output: 41}"),
            "tests/alone.yaml": trial("stays", "alone", "say", expect="{output: 1}"),
        }
    )
    outcome = work.push()
    assert not outcome.refused, outcome.lines
    assert outcome.lines[0] == "tests: 2 cases of 2 tests passed"
    return work


def test_a_failing_case_refuses_the_push_at_its_line_with_expected_and_actual(required: Work) -> None:
    head = Repository(required.bare).refs()
    required.commit({"scripts/a.py": SCRIPT.replace("41", "42")})
    outcome = required.push()
    assert list(outcome.refused) == ["refs/heads/main"]
    assert outcome.lines == (
        "1 problem in 1 file:",
        'tests/hello.yaml:7:7: the case "one" of greets does not pass: output should be 41 and is 42. '
        "[test-failed] `weft test greets` shows it side by side.",
    )
    assert Repository(required.bare).refs() == head


def test_only_tests_that_the_push_affects_run(required: Work, examined: Counting) -> None:
    def asked(files: dict[str, str | bytes | None]) -> list[list[str]]:
        examined.asked.clear()
        required.commit(files)
        assert not required.push().refused
        return examined.asked

    assert asked({"README.md": "Nothing that runs."}) == []
    assert asked({"patterns/alone.yaml": pattern("alone", "another")}) == [["stays"]]
    assert asked({"patterns/other.yaml": pattern("other", "another", script="scripts/a.py")}) == [["greets"]]
    assert asked({"scripts/a.py": SCRIPT + "\n# The same.\n"}) == [["greets"]]
    assert asked({"tests/hello.yaml": trial("greets", "hello", "say", expect="{status: completed}")}) == [
        ["greets"]
    ]


def test_without_the_setting_no_test_runs_and_nothing_is_refused(work: Work, examined: Counting) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello"), "tests/hello.yaml": BAD})
    assert not work.push().refused
    assert examined.asked == []


def test_the_push_that_asks_for_tests_has_to_pass_all_and_the_one_that_gives_them_up_those_it_affects(
    work: Work, examined: Counting
) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello"), "tests/hello.yaml": BAD})
    assert not work.push().refused
    work.commit({"weft.yaml": REQUIRED})
    assert "output should be 2 and is 1" in work.push().lines[1]
    work.commit({"tests/hello.yaml": GOOD})
    assert not work.push().refused
    work.commit({"weft.yaml": None, "tests/hello.yaml": BAD})
    assert work.push().refused


@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "import os, time\n    for _ in range(3):\n        os.fork()\n    os.setsid()\n    time.sleep(1000)",
        "import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)\n    while True: pass",
    ],
    ids=["loops", "forks", "kills"],
)
def test_a_script_that_hangs_is_a_refusal_in_time_and_leaves_no_process(
    database: Database, tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(own))  # it is in the environment of all that is started
    work = Work(tmp_path / "hanging", _hurried(database, tmp_path, 5.0))
    work.commit(
        {
            "weft.yaml": REQUIRED,
            "patterns/hello.yaml": pattern("hello", script="scripts/a.py"),
            "scripts/a.py": f"def main(x):\n    {body}\n",
            "tests/hello.yaml": trial("hangs", "hello", "say"),
        }
    )
    started = time.monotonic()
    outcome = work.push()
    assert time.monotonic() - started < 9
    assert outcome.refused
    assert "hangs" in outcome.lines[1]
    deadline = time.monotonic() + 3
    while left := [*_with_environment(str(own)), *own.iterdir()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def _hurried(database: Database, tmp_path: Path, limit: float) -> Reconciler:
    return Reconciler(
        database,
        tmp_path / "git",
        installation_key=b"k" * 32,
        public_url="http://127.0.0.1:8080",
        examine=Troupe(limit),
    )


def _with_environment(word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and word in " ".join(process.environ().values()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_a_pattern_that_goes_on_for_ever_refuses_the_push_saying_where(
    database: Database, tmp_path: Path
) -> None:
    inner = "{id: more, uses: repeat, until: '${{ index == 9000 }}', limit: 10000, "
    inner += "do: [{id: x, uses: set, with: {a: 1}}]}"
    endless = f"    - {{id: on, uses: repeat, until: '${{{{ false }}}}', limit: 10000, do: [{inner}]}}\n"
    work = Work(tmp_path / "endless", _hurried(database, tmp_path, 7.0))
    work.commit(
        {
            "weft.yaml": REQUIRED,
            "patterns/hello.yaml": pattern("hello").replace("  nodes:\n", f"  nodes:\n{endless}"),
            "tests/hello.yaml": trial("ends", "hello", "say"),
        }
    )
    outcome = work.push()
    assert outcome.lines == (
        "1 problem in 1 file:",
        "tests/hello.yaml:1:1: the required tests did not come to their end: not all were done within 7 s, and it "
        'was at the case "one" of ends. [tests-unfinished] Make the case faster, or mend what it runs: '
        "weft test ends.",
    )


def test_scripts_of_tests_see_nothing_of_the_services_environment(
    required: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_INSTALLATION_KEY", "a secret")
    code = "import os, pathlib\ndef main(x):\n    ppid = os.getppid()\n    seen = ''\n"
    code += "    for p in pathlib.Path('/proc').glob('[0-9]*'):\n"
    code += "        try:\n            stat = (p / 'cmdline').read_bytes()\n"
    code += "            seen += (p / 'environ').read_text() if b'runner.rehearsal' in stat else ''\n"
    code += "        except OSError:\n            pass\n"
    code += "    return 41 if 'a secret' not in seen + str(dict(os.environ)) else 0\n"
    required.commit({"scripts/a.py": code})
    outcome = required.push()
    assert not outcome.refused, outcome.lines


def test_a_branch_says_what_became_of_its_tests_and_cannot_be_merged_while_one_fails(
    required: Work, reconciler: Reconciler, examined: Counting
) -> None:
    required.git("checkout", "-q", "-b", "side")
    required.commit({"scripts/a.py": SCRIPT.replace("41", "42")})
    outcome = required.push("side")
    assert not outcome.refused
    assert 'the case "one" of greets does not pass' in "\n".join(outcome.lines)
    assert "tests: 1 case of 1 test ran, 1 failed" in outcome.lines
    examined.asked.clear()
    change = reconciler.changes.one("default", "side")
    assert examined.asked == []  # the push has seen to it already
    assert [problem.code for problem in change.problems] == ["test-failed"]
    assert change.reasons == ("merged, it would have 1 problem",)
    required.commit({"scripts/a.py": SCRIPT + "# mended\n"})
    required.push("side")
    change = reconciler.changes.one("default", "side")
    assert (change.reasons, change.outlook and change.outlook.tried and change.outlook.tried.text) == (
        (),
        "1 case of 1 test passed",
    )
    proposed = reconciler.proposed("default", change.head.id)
    assert (proposed.problems, proposed.tested) == ((), "1 case of 1 test passed")


def test_what_comes_in_past_the_gate_is_reported_until_it_is_mended(
    required: Work, reconciler: Reconciler, database: Database, live: Callable[..., Deployment]
) -> None:
    def reported() -> list[str]:
        with database.connection() as connection:
            state = repository_state(connection, "default")
        assert state is not None
        return [problem["code"] for problem in state.problems]

    required.commit({"scripts/a.py": SCRIPT.replace("41", "42")})
    required.server_git("fetch", "-q", str(required.folder), "+main:main")
    found = reconciler.reconcile("default")
    assert [problem.code for problem in found.problems] == ["test-failed"]
    assert reported() == ["test-failed"]
    required.commit({"README.md": "Something else."})
    outcome = required.push()
    assert not outcome.refused
    assert "not mended yet:" in outcome.lines
    assert reported() == ["test-failed"]
    required.commit({"scripts/a.py": SCRIPT})
    assert not required.push().refused
    assert reported() == []


def test_an_action_of_the_console_goes_the_same_way(required: Work, reconciler: Reconciler) -> None:
    required.commit({"patterns/hello.yaml": pattern("hello", "again", calls="other")})
    assert required.push(pusher=Actor(user="ada")).lines[0] == "tests: 1 case of 1 test passed"
