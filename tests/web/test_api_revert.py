"""Rolling back by restoring files: the version of before is live again, by what the default branch holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from api_site import Site
from git_work import Work, deployment, pattern


def commented(number: int) -> str:
    return "# How we say hello\n" + pattern("a", f"v{number}", script="scripts/a.py", calls="helper")


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    """Version 3 of `a` is live; it calls `helper` and has an asset, and each changed with each version."""
    work = Work(tmp_path / "work", site.reconciler)
    for number in (1, 2, 3):
        work.commit(
            {
                "patterns/a.yaml": commented(number),
                "patterns/helper.yaml": pattern("helper", f"helper {number}"),
                "scripts/a.py": f"def main(): return {number}\n",
                "deployments/a.yaml": deployment("a"),
                "notes.txt": str(number),
            },
            f"v{number}",
        )
        work.push()
    return work


def revert(site: Site, *, status: int = 200, **body: Any) -> Any:
    answer = site.http.post("/deployments/a/rollback", json={"revert": True, **body})
    assert answer.status_code == status, answer.text
    return answer.json()


def live(site: Site, name: str = "a") -> tuple[int, str]:
    version = site.http.get(f"/deployments/{name}").json()["version"]
    return version["number"], version["id"]


def pulled(work: Work) -> dict[str, str]:
    work.git("fetch", "--quiet", str(work.bare), "refs/heads/main")
    work.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    files = work.git("ls-files").splitlines()
    return {path: (work.folder / path).read_text() for path in files}


def test_a_pattern_what_it_calls_and_its_assets_are_what_they_were(site: Site, work: Work) -> None:
    paths = pulled(work)
    work.git("checkout", "--quiet", "HEAD~1")
    second = {path: (work.folder / path).read_text() for path in paths}
    identity = site.http.get("/patterns/a/versions/2").json()["id"]

    done = revert(site, message="v3 loses orders")

    assert live(site) == (2, identity)
    assert pulled(work) == second | {"notes.txt": "3"}
    assert work.git("rev-parse", "HEAD") == done["commit"]
    assert work.git("log", "-1", "--format=%an%n%B").strip() == (
        "admin\nRestore a as of v2\n\nv3 loses orders\n\n"
        "Weft-Action: rollback\nWeft-Deployment: a\nWeft-Version: 2"
    )
    assert done["plan"]["deployments"][0]["version"]["to"]["number"] == 2
    revert(site, to=1)
    assert live(site)[0] == 1
    assert "main holds v1" in revert(site, to=1, status=409)["detail"]
    assert site.http.get("/deployments/a").json()["source"] == {"branch": "main"}


def test_the_next_push_goes_on_from_there(site: Site, work: Work) -> None:
    revert(site)
    pulled(work)
    work.commit({"patterns/a.yaml": commented(4)}, "v4")
    work.push()
    assert live(site)[0] == 4


def test_a_moved_file_and_a_deleted_asset_come_back_where_they_are_wanted(site: Site, work: Work) -> None:
    (work.folder / "scripts/a.py").chmod(0o755)
    work.commit({"patterns/a.yaml": commented(4)}, "v4, with a program")
    work.push()
    new = pattern("a", "v5").replace("kind:", "# moved\nkind:")
    gone = {"patterns/a.yaml": None, "scripts/a.py": None, "patterns/helper.yaml": None}
    work.commit({**gone, "patterns/new/place.yaml": new}, "v5")
    work.push()

    revert(site)

    files = pulled(work)
    assert live(site)[0] == 4
    assert files["patterns/new/place.yaml"] == commented(4)
    assert files["patterns/helper.yaml"] == pattern("helper", "helper 3")
    assert (work.folder / "scripts/a.py").stat().st_mode & 0o111


def test_in_a_file_that_others_share_only_its_own_document_changes(site: Site, work: Work) -> None:
    other = "# Another\n" + pattern("other", "mine").rstrip("\n") + "   # the end"
    shared = f"{commented(4)}--- # second\n{other}"
    work.commit({"patterns/a.yaml": shared, "patterns/z.yaml": pattern("z", calls="helper")}, "Share")
    work.push()
    before = live(site)

    revert(site, to=3)

    assert live(site)[0] == 3
    assert before[0] == 4
    assert pulled(work)["patterns/a.yaml"] == f"{commented(3)}--- # second\n{other}"
    done = revert(site, to=2)
    [step] = done["plan"]["deployments"]
    assert step["name"] == "a"
    assert pulled(work)["patterns/helper.yaml"] == pattern("helper", "helper 2")
    revert(site, to=4)
    assert pulled(work)["patterns/a.yaml"] == shared


def test_what_else_changes_with_it_is_in_the_plan(site: Site, work: Work) -> None:
    files = {"patterns/z.yaml": pattern("z", calls="helper"), "deployments/z.yaml": deployment("z")}
    work.commit(files, "Another caller")
    work.push()
    done = revert(site, to=1)
    assert [step["name"] for step in done["plan"]["deployments"]] == ["a", "z"]


def test_only_what_follows_the_default_branch_can_be_restored(site: Site, work: Work) -> None:
    site.http.post("/deployments/a/rollback", json={"to": 2}).raise_for_status()
    head = work.git("ls-remote", str(work.bare), "refs/heads/main")
    said = revert(site, status=409)["detail"]
    assert "a follows the version 2, not the branch main" in said
    assert "roll back without `revert`" in said
    assert work.git("ls-remote", str(work.bare), "refs/heads/main") == head


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"to": 9}, 404, "a has no version 9"),
        ({"to": 3}, 409, "main holds v3 of a already"),
        ({"revert": "yes"}, 422, "true or false"),
    ],
)
def test_what_cannot_be_restored_is_refused(
    site: Site, work: Work, body: dict[str, Any], status: int, said: str
) -> None:
    head = work.git("ls-remote", str(work.bare))
    assert said in revert(site, status=status, **body)["detail"]
    assert work.git("ls-remote", str(work.bare)) == head


def test_a_folder_that_stands_where_an_asset_was_is_left_alone(site: Site, work: Work) -> None:
    work.write({"scripts/a.py": None})
    work.commit({"patterns/a.yaml": pattern("a", "v4"), "scripts/a.py/x.txt": "mine"}, "A folder")
    work.push()
    assert "a.py is a folder there" in revert(site, status=409)["detail"]
    assert live(site)[0] == 4
