"""Files over HTTP: read and saved one at a time, as checked commits, and nothing is ever overwritten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from api_site import Site
from git_work import Work, deployment, pattern

PATH = "patterns/a.yaml"
WRONG = pattern("a").replace("uses: log", "uses: lgo")


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    work = Work(tmp_path / "work", site.reconciler)
    files = {
        PATH: pattern("a"),
        "deployments/a.yaml": deployment("a"),
        "run.sh": "true\n",
        "b.bin": b"\xff\0",
    }
    work.write({**files, "scripts/ü.py": "# ü\r\n"})
    (work.folder / "run.sh").chmod(0o755)
    (work.folder / "link").symlink_to("run.sh")
    work.commit({}, "First")
    work.push()
    return work


def read(site: Site, path: str = PATH, *, status: int = 200, **query: str) -> Any:
    answer = site.http.get(f"/files/{path}", params=query)
    assert answer.status_code == status, answer.text
    return answer.json()


def save(site: Site, path: str = PATH, *, status: int = 200, **body: Any) -> Any:
    answer = site.http.put(f"/files/{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def heads(work: Work) -> str:
    return work.git("ls-remote", str(work.bare))


def tree(work: Work, ref: str = "main") -> str:
    return work.git("ls-tree", "-r", ref, GIT_DIR=str(work.bare))


def test_a_file_is_read_with_what_a_save_of_it_asks_for(site: Site, work: Work) -> None:
    head, text = work.git("rev-parse", "HEAD"), "# ü\r\n"
    assert read(site, "scripts/ü.py") == {
        "path": "scripts/ü.py",
        "ref": "main",
        "commit": head,
        "blob": work.git("rev-parse", "HEAD:scripts/ü.py"),
        "size": len(text.encode()),
        "content": text,
    }
    assert read(site, PATH, ref=head[:10])["ref"] == head[:10]
    for path, said in (("nowhere", "main has no file"), ("scripts", "a folder"), ("link", "a symbolic link")):
        assert said in read(site, path, status=404)["detail"]
    assert "nobranch" in read(site, PATH, status=404, ref="nobranch")["detail"]
    assert read(site, "b.bin", status=409)["type"] == "urn:weft:problem:not-text"
    work.commit({"big.txt": "x" * 1_048_577})
    work.push()
    assert "1,048,577 bytes" in read(site, "big.txt", status=413)["detail"]


def test_a_save_is_one_commit_and_live(site: Site, work: Work) -> None:
    base = read(site)["blob"]

    done = save(site, content=pattern("a", "new"), base=base, message="Say something new")

    assert work.git("log", "-1", "--format=%an <%ae>%n%B", "main", GIT_DIR=str(work.bare)).strip() == (
        "admin <admin@weft.test>\nChange patterns/a.yaml\n\nSay something new\n\n"
        "Weft-Action: edit\nWeft-File: patterns/a.yaml"
    )
    assert (done["ref"], done["problems"]) == ("refs/heads/main", [])
    assert read(site) | {"ref": "main"} == {
        "path": PATH, "ref": "main", "commit": done["commit"], "blob": done["blob"],
        "size": len(pattern("a", "new")), "content": pattern("a", "new"),
    }  # fmt: skip
    assert [step["name"] for step in done["plan"]["deployments"]] == ["a"]
    assert done["lines"][0].startswith("a  v1 → v2  live in ")
    assert site.http.get("/deployments/a").json()["version"]["number"] == 2


def test_other_files_and_the_mode_of_this_one_stay(site: Site, work: Work) -> None:
    before = tree(work)
    done = save(site, "run.sh", content="false\n", base=read(site, "run.sh")["blob"])
    assert tree(work) == before.replace(work.git("rev-parse", "HEAD:run.sh"), done["blob"])
    assert "100755" in next(line for line in tree(work).splitlines() if line.endswith("run.sh"))


def test_a_new_file_and_its_removal(site: Site, work: Work) -> None:
    before = tree(work)
    done = save(site, "docs/new/page.md", content="hello", base=None)
    assert read(site, "docs/new/page.md")["content"] == "hello"
    gone = site.http.delete("/files/docs/new/page.md", params={"base": done["blob"], "message": "Not yet"})
    assert (gone.status_code, gone.json()["blob"]) == (200, None)
    assert tree(work) == before
    assert work.git("log", "-1", "--format=%s%n%b", "main", GIT_DIR=str(work.bare)).startswith(
        "Remove docs/new/page.md\nNot yet"
    )


def test_what_somebody_else_changed_is_not_overwritten(site: Site, work: Work) -> None:
    base = read(site)["blob"]
    theirs = save(site, content=pattern("a", "theirs"), base=base)
    head = heads(work)

    assert (
        f"changed meanwhile (it is blob {theirs['blob']})"
        in save(site, content=pattern("a", "mine"), base=base, status=409)["detail"]
    )
    assert "is there already" in save(site, content="x", base=None, status=409)["detail"]
    assert "not in main any more" in save(site, "gone", content="x", base=base, status=409)["detail"]
    assert (
        "holds exactly that"
        in save(site, content=pattern("a", "theirs"), base=theirs["blob"], status=409)["detail"]
    )
    assert site.http.delete(f"/files/{PATH}", params={"base": base}).status_code == 409
    assert site.http.delete(f"/files/{PATH}").status_code == 422
    for path in ("scripts", "link", "run.sh/x", "link/x"):
        assert save(site, path, content="x", base=None, status=409)
    assert heads(work) == head


def test_of_concurrent_saves_exactly_one_wins(site: Site, work: Work) -> None:
    base = read(site)["blob"]

    def client(number: int) -> int:
        body = {"content": pattern("a", str(number)), "base": base}
        return site.http.put(f"/files/{PATH}", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(client, range(8))) == [200, *[409] * 7]
    assert work.git("rev-list", "--count", "main", GIT_DIR=str(work.bare)) == "2"


def test_what_the_gate_refuses_is_not_saved_on_the_default_branch(site: Site, work: Work) -> None:
    head = heads(work)
    refused = save(site, content=WRONG, base=read(site)["blob"], status=422)
    assert refused["type"] == "urn:weft:problem:refused-by-gate"
    assert [(one["path"], one["line"], one["code"]) for one in refused["problems"]] == [
        ("deployments/a.yaml", 5, "broken-pattern"),
        (PATH, 7, "unknown-node-kind"),
    ]
    assert heads(work) == head
    gone = site.http.delete(f"/files/{PATH}", params={"base": read(site)["blob"]})
    assert (gone.status_code, gone.json()["problems"][0]["code"]) == (422, "unknown-pattern")


def test_a_message_may_allow_the_removal_of_many_as_a_commit_s_does(site: Site, work: Work) -> None:
    many = "deployments/many.yaml"
    work.commit({many: "---\n".join(deployment("a").replace("name: a", f"name: a{n}") for n in range(4))})
    work.push()
    query = {"base": read(site, many)["blob"], "message": "Not so"}
    refused = site.http.delete(f"/files/{many}", params=query)
    assert refused.json()["problems"][0]["code"] == "mass-removal"
    allowed = {**query, "message": "They moved\n\nWeft-Allow-Removal: yes"}
    assert site.http.delete(f"/files/{many}", params=allowed).status_code == 200
    assert site.http.get("/deployments/a1").json()["state"] == "undeployed"


def test_on_another_branch_it_is_saved_and_its_problems_are_told(site: Site, work: Work) -> None:
    base, head = read(site)["blob"], work.git("rev-parse", "HEAD")

    done = save(site, content=WRONG, base=base, branch="ada/idea")

    assert done["ref"] == "refs/heads/ada/idea"
    assert [one["code"] for one in done["problems"]] == ["broken-pattern", "unknown-node-kind"]
    assert "would be refused" in done["lines"][0]
    assert work.git("rev-parse", "ada/idea~1", GIT_DIR=str(work.bare)) == head
    assert read(site)["blob"] == base
    assert site.http.get("/deployments/a").json()["version"]["number"] == 1

    done = save(site, content=pattern("a", "better"), base=done["blob"], branch="ada/idea")

    assert done["problems"] == []
    [step] = done["plan"]["deployments"]
    assert (step["name"], step["action"]) == ("a", "change")
    assert read(site, ref="ada/idea")["content"] == pattern("a", "better")
    conflict = save(site, "x", content="1", base=None)
    save(site, "x", content="2", base=None, branch="ada/idea")
    again = save(site, "x", content="3", base=read(site, "x", ref="ada/idea")["blob"], branch="ada/idea")
    assert (again["plan"], "cannot be merged" in again["lines"][0]) == (None, True)
    assert read(site, "x")["commit"] == conflict["commit"]


def test_a_protected_branch_is_not_written_by_who_may_not_push(site: Site, work: Work) -> None:
    rule = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: p}\nspec:\n  groups: {owners: [ada]}\n"
    work.commit({"weft.yaml": f"{rule}  protect: {{main: {{push: [owners]}}}}\n"}, "Protect")
    work.push()
    body = {"content": pattern("a", "x"), "base": read(site)["blob"]}
    with site.client(site.token("editor")) as http:
        assert http.put(f"/files/{PATH}", json=body).status_code == 403
        assert http.put(f"/files/{PATH}", json=body | {"branch": "idea"}).status_code == 200
    with site.client(site.token("viewer")) as http:
        assert http.get(f"/files/{PATH}").status_code == 200
        assert http.put(f"/files/{PATH}", json=body | {"branch": "idea"}).status_code == 403


@pytest.mark.parametrize(
    "path",
    ["a/%2e%2e/b", "..%2Fx", ".git/config", "a/.GIT/x", "a//b", "%2Fetc", "a/", "x%00y", "a/.%2Fb", "x%01y",
     "git~1/x", "n" * 256, "/".join(["n" * 200] * 6)],
)  # fmt: skip
def test_a_path_that_git_or_a_disk_would_refuse_is_none(site: Site, work: Work, path: str) -> None:
    head = heads(work)
    answer = site.http.put(f"/files/{path}", json={"content": "x", "base": None})
    assert answer.status_code == 422, answer.text
    assert site.http.get(f"/files/{path}").status_code == 404
    assert heads(work) == head


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"base": None}, "the file's text"),
        ({"content": 1, "base": None}, "the file's text"),
        ({"content": "x"}, "or null for a new file"),
        ({"content": "x", "base": "abc"}, "blob id"),
        ({"content": "x", "base": None, "branch": "--x"}, "a branch"),
        ({"content": "x", "base": None, "branch": "a..b"}, "not the name of a branch"),
        ({"content": "x", "base": None, "brunch": "b"}, 'Did you mean "branch"'),
    ],
)
def test_a_save_that_is_not_right_says_why(site: Site, work: Work, body: Any, said: str) -> None:
    assert said in save(site, "new.txt", status=422, **body)["detail"]


def test_a_file_that_is_too_large_for_the_api_is_413(site: Site, work: Work) -> None:
    save(site, "big.txt", content="x" * 1_048_577, base=None, status=413)
