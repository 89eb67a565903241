"""The workflow for GitHub Actions: its shell, run as a runner does, with a real Weft and a stand-in for GitHub."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from forge_site import TOKEN, ForgeSite
from git_work import deployment, pattern
from live_service import LiveService, live_service

WORKFLOW = Path(__file__).parent.parent / "examples-repo" / ".github" / "workflows" / "weft.yml"
STUB = Path(__file__).parent / "support" / "gh_stub.py"
LIVE = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}


@pytest.fixture(scope="module")
def workflow() -> Any:
    return yaml.safe_load(WORKFLOW.read_text())


def steps(workflow: Any, job: str = "plan") -> dict[str, str]:
    """Name → shell, of those that are ours to run."""
    found = workflow["jobs"][job]["steps"]
    return {one["name"]: one["run"] for one in found if "run" in one and one["name"] != "Install Weft"}


def test_it_asks_for_no_more_than_it_needs(workflow: Any) -> None:
    assert workflow["permissions"] == {"contents": "read", "pull-requests": "write"}
    triggers = workflow[True]  # YAML 1.1 takes `on` for a boolean
    assert list(triggers) == ["pull_request"], "pull_request_target would hand forks the secrets"


def test_its_actions_are_pinned_and_nothing_is_pasted_into_its_shell(workflow: Any) -> None:
    every = [step for job in workflow["jobs"].values() for step in job["steps"]]
    used = [step["uses"] for step in every if "uses" in step]
    assert used
    assert [one for one in used if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", one)] == []
    assert [step["name"] for step in every if "${{" in step.get("run", "")] == []


@dataclass
class Runner:
    """A runner's machine, with the pull request's head checked out."""

    service: LiveService
    site: ForgeSite
    folder: Path

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def git(self, script: str) -> str:
        return self.service.shell(script, self.work, TOKEN=self.service.token, URL=self.url).strip()

    @property
    def url(self) -> str:
        return f"{self.service.url}/git/default.git".replace("http://", f"http://weft:{self.service.token}@")

    def commit(self, files: dict[str, str]) -> str:
        for path, text in files.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_text(text)
        return self.git("git add -A; git commit -qm Change; git rev-parse HEAD").splitlines()[-1]

    def run(self, workflow: Any, number: int, job: str = "plan") -> list[str]:
        """The names of the steps that failed; after one, only that runs which always does."""
        temporary = Path(tempfile.mkdtemp(dir=self.folder))
        failed: list[str] = []
        for name, script in steps(workflow, job).items():
            if failed and name != "Say it in one comment":
                continue
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                cwd=self.work,
                env=self.environ(number, temporary),
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert self.service.token not in done.stdout + done.stderr
            if done.returncode != 0:
                failed.append(name)
        return failed

    def environ(self, number: int, temporary: Path) -> dict[str, str]:
        return self.service.environ | {
            "WEFT_URL": self.service.url,
            "WEFT_TOKEN": self.service.token,
            "NUMBER": str(number),
            "HEAD": self.git("git rev-parse HEAD"),
            "GITHUB_REPOSITORY": self.site.repository,
            "GITHUB_API_URL": self.site.api,
            "GH_TOKEN": TOKEN,
            "RUNNER_TEMP": str(temporary),
        }


@pytest.fixture(scope="module")
def service() -> Iterator[LiveService]:
    with live_service() as found:
        stub = Path(found.environ["PATH"].split(":")[0]) / "gh"
        stub.write_text(f'#!/bin/sh\nexec {sys.executable} {STUB} "$@"\n')
        stub.chmod(0o755)
        yield found


@pytest.fixture
def runner(service: LiveService, tmp_path: Path) -> Iterator[Runner]:
    with ForgeSite("github") as site:
        site.is_app, site.app = True, "github-actions[bot]"
        made = Runner(service, site, tmp_path)
        made.work.mkdir()
        made.git('git init -q -b main; git pull -q "$URL" main 2>/dev/null || true')
        made.commit({**LIVE, "README.md": tmp_path.name})
        made.git('git push -q "$URL" HEAD:main')
        yield made


def test_a_pull_request_gets_one_comment_with_its_plan(workflow: Any, runner: Runner) -> None:
    for number in range(5):
        runner.site.said("mallory", f"<!-- weft-workflow -->\nAll is well {number}")
    runner.commit({"patterns/hello.yaml": pattern("hello", "good morning")})
    assert runner.run(workflow, 1) == []
    (comment,) = runner.site.of_bot()
    assert comment.startswith("<!-- weft-workflow -->\n**Weft plan:** 1 changed\n")
    runner.commit({"deployments/second.yaml": deployment("second", "hello")})
    assert runner.run(workflow, 1) == []
    (comment,) = runner.site.of_bot()
    assert "1 created, 1 changed" in comment
    assert len(runner.site.comments) == 6


def test_files_with_problems_fail_the_check_and_are_named(workflow: Any, runner: Runner) -> None:
    wrong = pattern("hello").replace("uses: log", "uses: logg")
    runner.commit({"patterns/hello.yaml": wrong})
    assert runner.run(workflow, 2) == ["Check the files"]
    (comment,) = runner.site.of_bot(2)
    assert comment.startswith("<!-- weft-workflow -->\n**Weft plan:** there is none.\n\n    ")
    assert 'there is no kind of node called "logg"' in comment


def test_a_conflict_fails_the_plan_and_is_said(workflow: Any, runner: Runner) -> None:
    runner.git("git checkout -q -b other")
    runner.commit({"patterns/hello.yaml": pattern("hello", "good evening")})
    runner.git("git checkout -q main; git checkout -q -B topic")
    theirs = runner.commit({"patterns/hello.yaml": pattern("hello", "good night")})
    runner.git('git push -q "$URL" other:main')
    assert runner.git("git rev-parse HEAD") == theirs
    assert runner.run(workflow, 3) == ["Plan the merge"]
    assert "patterns/hello.yaml: both sides changed it" in runner.site.of_bot(3)[0]


def test_when_it_is_closed_its_branch_goes(workflow: Any, runner: Runner) -> None:
    runner.commit({"patterns/hello.yaml": pattern("hello", "so long")})
    assert runner.run(workflow, 4) == []
    assert "refs/heads/pull/4" in runner.git('git ls-remote "$URL"')
    for _ in range(2):
        assert runner.run(workflow, 4, "forget") == []
        assert "refs/heads/pull/4" not in runner.git('git ls-remote "$URL"')
