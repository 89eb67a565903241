"""What a pusher sees, and what is live afterwards."""

import re
from collections.abc import Callable

from git_work import Work, deployment, pattern

from store.database import Database
from store.deployments import Deployment, revisions
from store.versions import list_versions, load_asset, load_version

Read = Callable[[str], Deployment]


def number(deployment: Deployment) -> int | None:
    return deployment.version.number if deployment.version else None


HELLO = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}


def test_a_push_to_an_empty_repository_makes_its_deployments_live(work: Work, live: Read) -> None:
    work.commit(HELLO)
    outcome = work.push()
    assert outcome.refused == {}
    (line,) = outcome.lines
    assert re.fullmatch(r"hello  v1  live in \d+ ms  http://127.0.0.1:8080/hooks/[a-z2-7]{32}", line)
    hello = live("hello")
    assert (hello.state, number(hello), hello.revision, hello.actor) == ("active", 1, 1, "ada")
    assert line.endswith(hello.hook_token)


def test_a_changed_pattern_is_a_new_version_and_a_revert_is_the_old_one(work: Work, live: Read) -> None:
    work.commit(HELLO)
    work.push()
    first = live("hello")
    work.commit({"patterns/hello.yaml": pattern("hello", "good day")})
    assert re.fullmatch(r"hello  v1 → v2  live in \d+ ms", work.push().lines[0])
    work.git("revert", "--no-edit", "HEAD")
    assert work.push().lines[0].startswith("hello  v2 → v1  live in")
    last = live("hello")
    assert last.version == first.version
    assert (last.revision, last.hook_token) == (3, first.hook_token)
    assert last.message.startswith('Revert "Change"')


def test_formatting_and_metadata_of_a_pattern_change_nothing(work: Work, live: Read) -> None:
    work.commit(HELLO)
    work.push()
    before = live("hello")
    text = "# a comment\n" + pattern("hello").replace("name: hello", "title: Hello, name: hello")
    work.commit({"patterns/hello.yaml": None, "patterns/moved/here.yaml": text})
    assert work.push().lines == ("nothing that is live has changed",)
    assert live("hello") == before


def test_every_commit_of_a_push_counts(work: Work, database: Database) -> None:
    for text in ("one", "two", "three"):
        work.commit({"patterns/hello.yaml": pattern("hello", text)}, text)
    assert work.push().lines == ("hello  v3  frozen, not deployed",)
    with database.connection() as connection:
        found = [
            (version.number, version.message) for version in list_versions(connection, "default", "hello")
        ]
    assert found == [(3, "three"), (2, "two"), (1, "one")]


def test_a_changed_asset_is_a_new_version_with_the_new_bytes(
    work: Work, live: Read, database: Database
) -> None:
    work.commit(
        {
            "scripts/a.py": "def main(x): return 1\n",
            "patterns/job.yaml": pattern("job", script="scripts/a.py"),
            "deployments/job.yaml": deployment("job"),
        }
    )
    work.push()
    work.commit({"scripts/a.py": "def main(x): return 2\n"})
    assert work.push().lines[0].startswith("job  v1 → v2")
    with database.connection() as connection:
        version = load_version(connection, live("job").version.version_id)
        assert version is not None
        assert load_asset(connection, version.assets["scripts/a.py"]) == b"def main(x): return 2\n"


def test_a_changed_callee_is_a_new_version_of_its_callers(work: Work, live: Read) -> None:
    work.commit(
        {
            "patterns/a.yaml": pattern("a", calls="b"),
            "patterns/b.yaml": pattern("b", calls="c"),
            "patterns/c.yaml": pattern("c"),
            "deployments/a.yaml": deployment("a"),
        }
    )
    work.push()
    work.commit({"patterns/c.yaml": pattern("c", "changed")})
    lines = work.push().lines
    assert [line.split()[:2] for line in lines] == [["a", "v1"], ["b", "v2"], ["c", "v2"]]
    assert number(live("a")) == 2


def test_a_call_of_a_numbered_version_stays_on_it(work: Work, live: Read, database: Database) -> None:
    work.commit({"patterns/b.yaml": pattern("b")})
    work.commit({"patterns/b.yaml": pattern("b", "two"), "patterns/a.yaml": pattern("a", calls="b@1")})
    work.commit({"deployments/a.yaml": deployment("a")})
    work.push()
    before = live("a")
    work.commit({"patterns/b.yaml": pattern("b", "three")})
    assert work.push().lines == ("b  v3  frozen, not deployed",)
    assert live("a") == before
    with database.connection() as connection:
        content = load_version(connection, before.version.version_id)
        first = list_versions(connection, "default", "b")[-1]
    assert content is not None
    assert content.calls == {"b@1": first.version_id}


def test_deleting_the_file_undeploys_and_putting_it_back_brings_the_url_back(work: Work, live: Read) -> None:
    work.commit(HELLO)
    work.push()
    before = live("hello")
    work.commit({"deployments/hello.yaml": None})
    assert work.push().lines == ("hello  v1  undeployed",)
    gone = live("hello")
    assert (gone.state, gone.revision, gone.version) == ("undeployed", 2, before.version)
    work.commit({"deployments/hello.yaml": deployment("hello")})
    assert work.push().lines[0].endswith(f"/hooks/{before.hook_token}")
    back = live("hello")
    assert (back.state, back.revision, back.id) == ("active", 3, before.id)


def test_a_paused_deployment_says_so_and_its_spec_is_a_revision(
    work: Work, live: Read, database: Database
) -> None:
    work.commit(HELLO)
    work.push()
    commit = work.commit({"deployments/hello.yaml": deployment("hello", state="paused")}, "Pause it")
    assert work.push(pusher="bob").lines == ("hello  v1  paused",)
    with database.connection() as connection:
        newest, oldest = revisions(connection, live("hello").id)
    assert (newest.state, newest.commit, newest.message, newest.actor) == (
        "paused",
        commit,
        "Pause it",
        "bob",
    )
    assert (newest.author, newest.spec["state"]) == ("Ada <ada@example.org>", "paused")
    assert (oldest.state, oldest.number) == ("active", 1)


def test_an_archived_deployment_cannot_change_nor_go(work: Work, live: Read) -> None:
    work.commit(HELLO)
    work.push()
    archived = work.commit({"deployments/hello.yaml": deployment("hello", state="archived")})
    work.push()
    work.commit({"deployments/hello.yaml": deployment("hello")})
    outcome = work.push()
    assert outcome.refused
    assert f"was archived by commit {archived[:10]}" in outcome.lines[1]
    assert outcome.lines[1].startswith("deployments/hello.yaml:1:1: ")
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit({"deployments/hello.yaml": None})
    assert work.push().refused
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit({"patterns/hello.yaml": pattern("hello", "new")})
    assert not work.push().refused
    assert (live("hello").state, number(live("hello"))) == ("archived", 1)


def test_an_archived_deployment_lets_its_pattern_go(work: Work, live: Read) -> None:
    work.commit({**HELLO, "README.md": "Mine"})
    work.push()
    both = {
        "patterns/hello.yaml": None,
        "deployments/hello.yaml": deployment("hello", state="archived"),
    }
    work.commit(both)
    assert "hello" in "".join(work.push().lines)
    assert live("hello").state == "active"
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit({"deployments/hello.yaml": deployment("hello", state="archived")})
    assert not work.push().refused
    work.commit({"patterns/hello.yaml": None})
    outcome = work.push()
    assert not outcome.refused, outcome.lines
    assert (live("hello").state, number(live("hello"))) == ("archived", 1)


def test_who_pushes_another_branch_first_is_told_what_goes_live(work: Work) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")})
    work.git("branch", "--move", "master")

    *_, last = work.push("master").lines

    assert last == "only what is on main goes live, and there is none yet: git push weft master:main"
