"""Plans and pushed deployments over HTTP, with a real repository behind them."""

from pathlib import Path

import pytest
from api_site import Site
from git_work import Work, deployment, pattern


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    work = Work(tmp_path / "work", site.reconciler)
    work.commit({"patterns/a.yaml": pattern("a"), "deployments/a.yaml": deployment("a")}, "First")
    work.push()
    return work


def test_a_plan_says_what_a_branch_would_change(site: Site, work: Work) -> None:
    work.git("checkout", "-q", "-b", "idea")
    head = work.commit({"patterns/a.yaml": pattern("a", "bye")})
    work.push("idea")
    plan = site.http.get("/plan?head=idea").json()
    assert plan["head"] == head
    [step] = plan["deployments"]
    assert (step["name"], step["action"]) == ("a", "change")
    assert step["version"]["from"]["number"] == 1
    assert any("bye" in change["text"] for change in step["changes"])
    [same] = site.http.get("/plan", params={"base": head, "head": head}).json()["deployments"]
    assert same["action"] == "unchanged"
    [live] = site.http.get("/plan").json()["deployments"]
    assert live["action"] == "unchanged"


def test_a_plan_of_what_is_not_there_is_404_and_of_an_option_422(site: Site, work: Work) -> None:
    missing = site.http.get("/plan?head=nowhere")
    assert (missing.status_code, "nowhere" in missing.json()["detail"]) == (404, True)
    assert site.http.get("/plan", params={"base": "nowhere"}).status_code == 404
    for option in ("--output=/tmp/x", "a b", ""):
        assert site.http.get("/plan", params={"head": option}).status_code == 422


def test_what_cannot_be_merged_is_409_and_names_the_files(site: Site, work: Work) -> None:
    work.git("checkout", "-q", "-b", "idea")
    work.commit({"patterns/a.yaml": pattern("a", "bye")})
    work.push("idea")
    work.git("checkout", "-q", "main")
    work.commit({"patterns/a.yaml": pattern("a", "hi")})
    work.push()
    for query in ({"head": "idea"}, {"base": "main", "head": "idea"}):
        answer = site.http.get("/plan", params=query)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:weft:problem:not-mergeable")
        assert answer.json()["problems"] == [{"path": "patterns/a.yaml", "message": "both sides changed it"}]


def test_a_commit_with_problems_has_no_plan_and_they_are_told(site: Site, work: Work) -> None:
    work.git("checkout", "-q", "-b", "idea")
    work.commit({"deployments/new.yaml": "kind: ["})
    work.push("idea")
    for query in ({"head": "idea"}, {"base": "idea", "head": "main"}):
        answer = site.http.get("/plan", params=query)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:weft:problem:commit-has-problems")
        [problem] = answer.json()["problems"]
        assert (problem["path"], problem["code"]) == ("deployments/new.yaml", "yaml-syntax")


def test_what_was_pushed_is_what_the_api_shows(site: Site, work: Work) -> None:
    head = work.commit({"patterns/a.yaml": pattern("a", "second")}, "Second")
    work.push(pusher="bob")
    found = site.http.get("/deployments/a").json()
    assert (found["version"]["number"], found["commit"], found["deployedBy"]) == (2, head, "bob")
    assert (found["status"], found["source"]) == ("ready", {"branch": "main"})
    revisions = site.http.get("/deployments/a/revisions").json()["items"]
    assert [(one["version"]["number"], one["message"]) for one in revisions] == [(2, "Second"), (1, "First")]
    work.commit({"deployments/a.yaml": None}, "Undeploy")
    work.push()
    gone = site.http.get("/deployments/a").json()
    assert (gone["state"], gone["webhookUrl"]) == ("undeployed", None)
    assert site.http.get("/deployments").json()["items"] == []
    assert site.http.post("/deployments/a/runs").status_code == 404


def test_without_a_repository_there_is_no_plan(site: Site) -> None:
    answer = site.http.get("/plan")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
