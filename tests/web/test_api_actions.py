"""Actions over HTTP: each is one commit or one moved tag in the user's name, and live with the answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_site import Site
from git_work import Work, deployment, pattern

DEPLOYMENT = (
    "# Orders, by hand\r\napiVersion: weft/v1\r\nkind: Deployment\r\nmetadata: {name: a}   # the name\r\n"
    "spec:\r\n      # odd indentation\r\n      pattern: a     # what runs\r\n"
    "      variables: {x:   1}\r\n"
)


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    """Version 3 of `a` is live; 1 and 2 were."""
    work = Work(tmp_path / "work", site.reconciler)
    for number in (1, 2, 3):
        work.commit(
            {"patterns/a.yaml": pattern("a", f"v{number}"), "deployments/a.yaml": DEPLOYMENT}, f"v{number}"
        )
        work.push()
    return work


def act(
    site: Site, action: str, body: dict[str, Any] | None = None, *, name: str = "a", status: int = 200
) -> Any:
    answer = site.http.post(f"/deployments/{name}/{action}", json=body or {})
    assert answer.status_code == status, answer.text
    return answer.json()


def live(site: Site, name: str = "a") -> tuple[str, int]:
    found = site.http.get(f"/deployments/{name}").json()
    return found["state"], found["version"]["number"]


def pulled(work: Work) -> str:
    """The deployment's file on the server, after fetching it as anybody would."""
    work.git(
        "fetch", "--quiet", str(work.bare), "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"
    )
    work.git("reset", "--quiet", "--hard", "refs/remotes/origin/main")
    return (work.folder / "deployments/a.yaml").read_bytes().decode()


def test_pause_and_resume_are_commits_that_change_one_line(site: Site, work: Work) -> None:
    done = act(site, "pause", {"message": "the warehouse moves"})

    assert live(site) == ("paused", 3)
    assert site.http.get("/deployments/a").json()["status"] == "ready"
    assert pulled(work) == DEPLOYMENT.replace("# what runs\r\n", "# what runs\r\n      state: paused\r\n")
    assert work.git("rev-parse", "HEAD") == done["commit"]
    assert done["ref"] == "refs/heads/main"
    assert work.git("log", "-1", "--format=%an <%ae>%n%cn%n%B").strip() == (
        "admin <admin@weft.test>\nadmin\nPause a\n\nthe warehouse moves\n\n"
        "Weft-Action: pause\nWeft-Deployment: a"
    )
    [step] = done["plan"]["deployments"]
    assert (step["action"], [change["text"] for change in step["changes"]]) == (
        "change",
        ["state: active → paused"],
    )

    act(site, "resume")

    assert live(site) == ("active", 3)
    assert pulled(work) == DEPLOYMENT.replace("# what runs\r\n", "# what runs\r\n      state: active\r\n")


def test_what_is_so_already_is_a_409_and_no_commit(site: Site, work: Work) -> None:
    act(site, "pause")
    act(site, "rollback", {"to": 2})
    before = site.reconciler.ensure("default")
    head = work.git("ls-remote", str(before), "refs/heads/main")

    for action, body in (("pause", {}), ("rollback", {"to": 2}), ("promote", {"version": 2})):
        assert act(site, action, body, status=409)["type"] == "urn:weft:problem:conflict"

    assert work.git("ls-remote", str(before), "refs/heads/main") == head


def test_a_rollback_is_immediate_and_stays(site: Site, work: Work) -> None:
    act(site, "rollback")
    assert live(site) == ("active", 2)
    assert "source: {version: 2}" in pulled(work)

    work.commit({"patterns/a.yaml": pattern("a", "v4"), "README.md": "more"}, "An unrelated commit")
    work.push()
    assert live(site) == ("active", 2)

    act(site, "promote", {"follow": "main"})
    assert live(site) == ("active", 4)
    assert "source: {branch: main}" in pulled(work)


def test_a_rollback_goes_to_any_version_and_a_promotion_too(site: Site, work: Work) -> None:
    act(site, "rollback", {"to": 1})
    assert live(site) == ("active", 1)
    act(site, "promote", {"version": 3})
    assert live(site) == ("active", 3)
    act(site, "rollback")
    assert live(site) == ("active", 1)
    assert [line for line in pulled(work).split("\r\n") if line not in DEPLOYMENT] == [
        "      source: {version: 1}"
    ]


def test_where_a_tag_is_followed_the_tag_moves(site: Site, work: Work) -> None:
    second = work.git("rev-parse", "HEAD~1")
    file = DEPLOYMENT.replace("# what runs\r\n", "# what runs\r\n      source: {tag: a/live}\r\n")
    work.git("tag", "a/live", "HEAD")
    work.commit({"deployments/a.yaml": file}, "Follow a tag")
    work.push("refs/tags/a/live", "main")
    head = work.git("rev-parse", "HEAD")

    done = act(site, "rollback", {"message": "v3 loses orders"})

    assert live(site) == ("active", 2)
    assert (done["ref"], done["commit"]) == ("refs/tags/a/live", second)
    assert pulled(work) == file
    assert work.git("rev-parse", "HEAD") == head
    assert work.git("tag", "-l", "--format=%(taggername) %(taggeremail)%0a%(contents)", "a/live").strip() == (
        "admin <admin@weft.test>\nRoll a back to v2\n\nv3 loses orders\n\n"
        "Weft-Action: rollback\nWeft-Deployment: a\nWeft-Version: 2"
    )
    act(site, "promote", {"version": 3})
    assert live(site) == ("active", 3)


def test_what_runs_in_another_environment_is_taken_over(site: Site, work: Work) -> None:
    staging = deployment("a-staging", of="a", environment="staging", source="{version: 2}")
    work.commit({"deployments/staging.yaml": staging}, "Staging")
    work.push()

    act(site, "promote", {"fromEnvironment": "staging"})

    assert live(site) == ("active", 2)
    assert (
        "no deployment in nowhere"
        in act(site, "promote", {"fromEnvironment": "nowhere"}, status=404)["detail"]
    )


def test_undeploying_takes_the_document_and_only_an_empty_file(site: Site, work: Work) -> None:
    other = deployment("b", of="a")
    work.commit({"deployments/a.yaml": f"{other}---\n{DEPLOYMENT.replace(chr(13), '')}"}, "Two in one")
    work.push()

    act(site, "undeploy")

    assert pulled(work) == other
    assert site.http.get("/deployments/a").json()["state"] == "undeployed"
    assert live(site, "b") == ("active", 3)
    act(site, "undeploy", name="b")
    work.git("fetch", "--quiet", str(work.bare), "refs/heads/main")
    assert work.git("ls-tree", "-r", "--name-only", "FETCH_HEAD") == "patterns/a.yaml"


def test_deploying_writes_a_file_that_says_so(site: Site, work: Work) -> None:
    wanted = {
        "pattern": "a",
        "name": "a-staging",
        "environment": "staging",
        "source": {"version": 2},
        "variables": {"on": "yes", "n": [1, None, 2.5]},
        "message": "Try it",
    }
    answer = site.http.post("/deployments", json=wanted)

    assert answer.status_code == 200, answer.text
    assert live(site, "a-staging") == ("active", 2)
    pulled(work)
    assert (work.folder / "deployments/a-staging.yaml").read_text() == (
        "apiVersion: weft/v1\nkind: Deployment\nmetadata:\n  name: a-staging\nspec:\n  pattern: a\n"
        "  environment: staging\n  source: {version: 2}\n  variables: {on: yes, n: [1, null, 2.5]}\n"
    )
    assert work.git("log", "-1", "--format=%s") == "Deploy a as a-staging"
    assert site.http.post("/deployments", json=wanted).status_code == 409
    assert site.http.post("/deployments", json={"pattern": "nobody"}).status_code == 404
    assert site.http.post("/deployments", json={"pattern": "../x"}).status_code == 422
    assert site.http.post("/deployments", json={}).status_code == 422
    wrong = {"pattern": "a", "name": "b", "timeout": "soon"}
    refused = site.http.post("/deployments", json=wanted | wrong)
    assert (refused.status_code, "deployments/b.yaml:" in refused.json()["detail"]) == (422, True)


def test_a_clone_is_a_document_of_its_own(site: Site, work: Work) -> None:
    first, second = pattern("b", "bee"), pattern("c", "sea") + "# the end\n"
    work.commit({"patterns/two.yaml": f"{first}--- \n# Of c\n{second}"}, "Two in one")
    work.push()

    answer = site.http.post("/patterns/c/clone", json={"name": "d"})

    assert answer.status_code == 200, answer.text
    pulled(work)
    assert (work.folder / "patterns/d.yaml").read_text() == f"# Of c\n{second}".replace("name: c", "name: d")
    assert work.git("log", "-1", "--format=%s%n%(trailers)").strip() == (
        "Clone c as d\nWeft-Action: clone\nWeft-Pattern: d"
    )
    assert site.http.post("/patterns/c/clone", json={"name": "d"}).status_code == 409
    assert site.http.post("/patterns/nobody/clone", json={"name": "e"}).status_code == 404
    assert site.http.post("/patterns/c/clone", json={"name": "E"}).status_code == 422


def test_an_archive_is_for_good(site: Site, work: Work) -> None:
    commit = act(site, "archive")["commit"]

    assert live(site) == ("archived", 3)
    for action in ("resume", "pause", "rollback", "undeploy"):
        said = act(site, action, status=409)["detail"]
        assert f"archived by commit {commit[:10]}" in said
    assert live(site) == ("archived", 3)


def test_what_was_archived_under_a_tag_is_the_same_without_the_database(site: Site, work: Work) -> None:
    file = DEPLOYMENT.replace("# what runs\r\n", "# what runs\r\n      source: {tag: a/live}\r\n")
    work.git("tag", "a/live", "HEAD~1")
    work.commit({"deployments/a.yaml": file}, "Follow a tag")
    work.push("refs/tags/a/live", "main")
    act(site, "archive")
    kept = file.replace("{tag: a/live}\r\n", "{version: 2}\r\n      state: archived\r\n")
    assert sorted(pulled(work).splitlines()) == sorted(kept.splitlines())
    work.git("tag", "--force", "a/live", "HEAD")
    work.push("refs/tags/a/live")
    site.execute("TRUNCATE repositories, freezes, versions, deployments, revisions, ref_moves CASCADE")

    site.reconciler.rebuild("default")

    assert live(site) == ("archived", 2)
    act(site, "resume", status=409)


@pytest.mark.parametrize(
    ("action", "body", "status", "said"),
    [
        ("promote", {}, 422, "exactly one of version, tag, fromEnvironment, follow"),
        (
            "promote",
            {"version": 1, "tag": "x"},
            422,
            "not right: exactly one of version, tag, fromEnvironment, follow",
        ),
        ("promote", {"version": 1, "tag": "x", "follow": "main"}, 422, "is needed, not 3 of them"),
        ("promote", {"version": "1"}, 422, "the number of a version"),
        ("promote", {"version": True}, 422, "the number of a version"),
        ("promote", {"version": 9}, 404, "a has no version 9: it has 1 to 3."),
        ("promote", {"tag": "--x"}, 422, "a branch, a tag or a commit"),
        ("promote", {"versoin": 1}, 422, "version"),
        ("promote", {"tag": "nowhere"}, 422, "nowhere"),
        ("rollback", {"to": 0}, 422, "the number of a version"),
        ("pause", {"message": 1}, 422, "a text"),
        ("pause", {"message": "x\0"}, 422, "a text"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    site: Site, work: Work, action: str, body: dict[str, Any], status: int, said: str
) -> None:
    head = work.git("ls-remote", str(work.bare))

    assert said in act(site, action, body, status=status)["detail"]

    assert work.git("ls-remote", str(work.bare)) == head
    assert live(site) == ("active", 3)


def test_who_may_not_push_may_not_act_and_nobody_acts_on_what_is_not_there(site: Site, work: Work) -> None:
    for token, status in ((site.token("viewer"), 403), (site.token("editor"), 200)):
        with site.client(token) as http:
            assert http.post("/deployments/a/pause", json={}).status_code == status
    assert "main has no deployment nobody" in act(site, "pause", name="nobody", status=404)["detail"]


def test_actions_and_pushes_at_once_make_one_line_of_commits(site: Site, work: Work) -> None:
    files = {f"deployments/d{n}.yaml": deployment(f"d{n}", of="a") for n in range(8)}
    work.commit(files, "Eight")
    work.push()
    before = int(work.git("rev-list", "--count", "HEAD"))

    def client(n: int) -> None:
        with site.client(site.token("editor")) as http:
            for action, body in (
                ("pause", {}),
                ("rollback", {"to": 1}),
                ("resume", {}),
                ("promote", {"version": 2}),
            ):
                answer = http.post(f"/deployments/d{n}/{action}", json=body)
                assert answer.status_code == 200, answer.text
                assert work.git("cat-file", "-t", answer.json()["commit"], GIT_DIR=str(work.bare)) == "commit"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(client, range(8)))

    pulled(work)
    assert int(work.git("rev-list", "--count", "--first-parent", "HEAD")) == before + 32
    assert work.git("rev-list", "--merges", "HEAD") == ""
    assert {live(site, f"d{n}") for n in range(8)} == {("active", 2)}
    for n in range(8):
        text = (work.folder / f"deployments/d{n}.yaml").read_text()
        assert "source: {version: 2}" in text
        assert "state: active" in text
