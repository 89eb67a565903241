"""What became of the required tests of a change: over HTTP, in `weft change`, and on a pull request."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from api_site import ADMIN, Site
from git_work import Work, deployment, pattern, trial
from typer.testing import CliRunner

from cli import changes
from reconciler.forges.verdict import verdict_of

PROJECT = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\nspec: {requireTests: true}\n"


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    work = Work(tmp_path / "work", site.reconciler)
    work.commit(
        {
            "weft.yaml": PROJECT,
            "patterns/a.yaml": pattern("a"),
            "deployments/a.yaml": deployment("a"),
            "tests/a.yaml": trial("greets", "a", "say", expect="{output: 1}"),
        }
    )
    assert not work.push(admin=True).refused
    return work


def propose(work: Work, branch: str, files: dict[str, str | bytes | None]) -> str:
    work.git("checkout", "-q", "-B", branch, "main")
    head = work.commit(files)
    assert not work.push(branch).refused
    return head


def shown(site: Site, branch: str) -> str:
    app = typer.Typer()
    changes.register(app)
    done = CliRunner().invoke(app, ["change", branch], env={"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN})
    assert done.exit_code == 0, done.output
    return done.output


def test_a_change_whose_tests_pass_says_so(site: Site, work: Work) -> None:
    head = propose(work, "good", {"patterns/a.yaml": pattern("a", "another")})
    change = site.http.get("/changes/good").json()
    assert change["checks"] == [
        {"name": "tests", "passed": True, "summary": "1 case of 1 test passed", "tests": 1, "cases": 1}
    ]
    assert change["mergeable"]
    assert "1 case of 1 test passed" in shown(site, "good")
    verdict = verdict_of(site.reconciler.proposed("default", head), "main")
    assert verdict.text.endswith("\n\n**Weft tests:** 1 case of 1 test passed\n")


def test_a_change_whose_tests_fail_shows_why_and_cannot_be_merged(site: Site, work: Work) -> None:
    files: dict[str, str | bytes | None] = {"patterns/a.yaml": pattern("a") + "  output: 2\n"}
    head = propose(work, "bad", files)
    change = site.http.get("/changes/bad").json()
    (check,) = change["checks"]
    assert (check["passed"], check["summary"]) == (False, "1 case of 1 test ran, 1 failed")
    (problem,) = change["problems"]
    assert (problem["path"], problem["line"], problem["code"]) == ("tests/a.yaml", 7, "test-failed")
    assert "output should be 1 and is 2" in problem["message"]
    assert "output should be 1 and is 2" in shown(site, "bad")
    refused = site.http.post("/changes/bad/merge", json={})
    assert refused.status_code == 409
    assert refused.json()["problems"][0]["code"] == "test-failed"
    assert "output should be 1 and is 2" in verdict_of(site.reconciler.proposed("default", head), "main").text


def test_a_pull_request_of_whoever_may_not_push_runs_no_script_here(site: Site, work: Work) -> None:
    touched = work.folder / "touched"
    script = f"def main(x):\n    open({str(touched)!r}, 'w').close()\n"
    files: dict[str, str | bytes | None] = {"patterns/a.yaml": pattern("a", script="s.py"), "s.py": script}
    head = propose(work, "fork", files)
    assert touched.exists()
    touched.unlink()
    moved = work.commit({"s.py": script + "# another\n"})
    work.server_git("fetch", "-q", str(work.folder), f"{moved}:refs/weft/pull/1")
    work.server_git("update-ref", "refs/heads/fork", head)
    proposed = site.reconciler.proposed("default", moved)
    assert not touched.exists()
    assert proposed.problems == ()
    assert proposed.tested is not None
    assert proposed.tested.startswith("not run, because the commit is on no branch of the repository")


def test_a_change_that_affects_no_test_has_no_checks(site: Site, work: Work) -> None:
    propose(work, "docs", {"README.md": "Read me."})
    assert site.http.get("/changes/docs").json()["checks"] == []


def test_an_action_that_would_break_a_test_changes_nothing(site: Site, work: Work) -> None:
    body = {
        "content": pattern("a") + "  output: 2\n",
        "branch": "main",
        "message": "Say two",
        "base": site.http.get("/files/patterns/a.yaml").json()["blob"],
    }
    answer = site.http.put("/files/patterns/a.yaml", json=body)
    assert answer.status_code >= 400
    assert "output should be 1 and is 2" in answer.text
