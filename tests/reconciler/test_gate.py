"""What is refused, with which lines, and that what was live stays live."""

import os
import re

import pytest
from git_work import Work, deployment, pattern

from reconciler.actor import Actor
from reconciler.git.errors import UnmergeableError
from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.git.repository import Repository
from store.database import Database
from store.deployments import DeploymentFilter, all_deployments, list_deployments

HELLO = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}
REVIEW = "review it: weft change side   http://127.0.0.1:8080/api/v1/changes/side"
BAD = """\
apiVersion: weft/v1
kind: Pattern
metadata: {name: bad}
spec:
  on: {webhok: {}}
  nodes:
    - {id: one, uses: log, with: {message: "${{ nodes.two }}"}}
    - {id: ask, uses: call, with: {pattern: nowhere}}
"""


def test_five_kinds_of_mistakes_in_three_files_are_five_lines_and_change_nothing(
    work: Work, database: Database
) -> None:
    work.commit(HELLO)
    work.push()
    with database.connection() as connection:
        before = all_deployments(connection, "default")
    head = Repository(work.bare).refs()
    work.commit(
        {
            "patterns/bad.yaml": BAD.replace("webhok", "webhook").replace("nodes.two", "nodes.one"),
            "patterns/hello.yaml": pattern("hello", script="scripts/none.py"),
            "deployments/more.yaml": deployment("more", "hello", source="{version: 7}")
            + "---\n"
            + deployment("other", "missing")
            + "---\n"
            + deployment("hello"),
        }
    )
    outcome = work.push()
    assert list(outcome.refused) == ["refs/heads/main"]
    header, *lines = outcome.lines
    assert header == "5 problems in 3 files:"
    assert all(
        re.match(r"(patterns|deployments)/[a-z]+\.yaml:\d+:\d+: .+ \[[a-z-]+\] .+[.?]", line)
        for line in lines
    )
    places = [
        (path, int(row), int(column)) for path, row, column, _ in (line.split(":", 3) for line in lines)
    ]
    assert places == sorted(places)
    assert len({re.search(r"\[([a-z-]+)\]", line)[1] for line in lines}) == 5
    with database.connection() as connection:
        assert all_deployments(connection, "default") == before
    assert Repository(work.bare).refs() == head


def test_a_source_that_cannot_be_resolved_is_refused_at_its_line(work: Work) -> None:
    work.commit(HELLO)
    work.push()
    for source, code in (
        ("{version: 7}", "unknown-version"),
        ("{branch: gone}", "branch-not-found"),
        ("{tag: gone}", "tag-not-found"),
        ("{commit: 0123456789abcdef0123456789abcdef01234567}", "commit-not-found"),
    ):
        work.commit({"deployments/hello.yaml": deployment("hello", source=source)})
        outcome = work.push()
        assert outcome.refused, source
        assert outcome.lines[1].startswith("deployments/hello.yaml:6:3: "), outcome.lines
        assert f"[{code}]" in outcome.lines[1]


def test_the_default_branch_goes_forward_only(work: Work, database: Database) -> None:
    work.commit(HELLO)
    first = work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    work.push()
    assert work.push(":main").refused["refs/heads/main"].endswith("it cannot be deleted")
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit({"patterns/hello.yaml": pattern("hello", "three")})
    assert "git pull --rebase" in work.push().refused["refs/heads/main"]
    assert Repository(work.bare).refs()["refs/heads/main"] == first


def test_a_merge_that_puts_the_default_branch_on_its_second_side_is_refused(work: Work) -> None:
    base = work.commit(HELLO)
    live = work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    work.push()
    work.git("reset", "--quiet", "--hard", base)
    work.commit({"patterns/other.yaml": pattern("other")})
    work.git("merge", "--quiet", "--no-edit", live)
    assert "wrong side" in work.push().refused["refs/heads/main"]
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    side = work.git("rev-parse", "HEAD")
    work.git("reset", "--quiet", "--hard", live)
    work.git("merge", "--quiet", "--no-edit", side)
    assert work.push().lines == ("other  v1  frozen, not deployed",)


def test_symbolic_links_among_documents_and_assets_are_refused(work: Work) -> None:
    work.commit(
        {**HELLO, "scripts/real.py": "x = 1\n", "patterns/job.yaml": pattern("job", script="scripts/l.py")}
    )
    os.symlink("real.py", work.folder / "scripts/l.py")
    os.symlink("hello.yaml", work.folder / "patterns/link.yaml")
    work.commit({})
    lines = work.push().lines
    assert [re.search(r"\[([a-z-]+)\]", line)[1] for line in lines[1:]] == ["asset-symlink", "no-plain-file"]


def test_only_branches_and_tags_with_good_names_are_taken(work: Work) -> None:
    head = work.commit(HELLO)
    for ref in ("refs/notes/x", "refs/heads/a..b", "refs/heads/-x", "refs/tags/a.lock", "HEAD"):
        outcome = work.reconciler.push(
            "default", [RefUpdate(ref=ref, old=ABSENT, new=head)], quarantine=None, pusher=Actor(user="ada")
        )
        assert list(outcome.refused) == [ref]
        assert outcome.lines[0].startswith(f"{ref}: ")


def test_when_one_ref_is_refused_none_moves(work: Work) -> None:
    work.commit(HELLO)
    work.git("branch", "side")
    work.commit({"patterns/bad.yaml": BAD})
    outcome = work.push("main", "side")
    assert set(outcome.refused) == {"refs/heads/main", "refs/heads/side"}
    assert "refs/heads/main was refused" in outcome.refused["refs/heads/side"]
    assert Repository(work.bare).refs() == {}


def test_a_hundred_lines_are_enough(work: Work) -> None:
    work.commit({f"patterns/p{n}.yaml": pattern(f"p{n}", calls="nowhere") for n in range(120)})
    lines = work.push().lines
    assert len(lines) == 102
    assert lines[0] == "120 problems in 120 files:"
    assert lines[-1] == "… and 20 more; weft validate shows them all"


def test_another_branch_is_taken_as_it_is_and_told_what_it_would_do(work: Work, database: Database) -> None:
    work.commit(HELLO)
    work.push()
    work.git("checkout", "--quiet", "-b", "side")
    work.commit({"patterns/hello.yaml": pattern("hello", "side")})
    outcome = work.push("side")
    assert outcome.refused == {}
    assert outcome.lines == (
        "side: a merge of this into main: 1 changed",
        "hello  v1 → v2  changed",
        "    node `say`: with.message: hello → side",
        REVIEW,
    )
    work.commit({"patterns/bad.yaml": BAD})
    outcome = work.push("side")
    assert outcome.refused == {}
    assert outcome.lines[0].startswith("side: a merge of this into main would be refused, ")
    with database.connection() as connection:
        (hello,), _ = list_deployments(connection, "default", DeploymentFilter(), None, 10)
    assert hello.version.number == 1


def test_a_branch_that_is_behind_is_told_what_its_merge_would_do(work: Work, database: Database) -> None:
    work.commit({**HELLO, "patterns/b.yaml": pattern("b"), "deployments/b.yaml": deployment("b")})
    work.push()
    work.git("branch", "side")
    live = work.commit({"patterns/b.yaml": pattern("b", "main's own")})
    work.push()
    work.git("checkout", "--quiet", "side")
    work.commit({"patterns/hello.yaml": pattern("hello", "side", calls="b")})
    objects = set((work.bare / "objects").rglob("*"))
    assert work.push("side").lines == (
        f"side: a merge of this into main: 1 changed, 1 unchanged (merged into {live[:10]})",
        "hello  v1 → v2  changed",
        "    node `say`: with.message: hello → side",
        "    node `ask` added: call b",
        REVIEW,
    )
    # Nothing of the merge itself is left behind, only the pack that was pushed.
    left = {path.suffix for path in set((work.bare / "objects").rglob("*")) - objects if path.is_file()}
    assert left <= {".pack", ".idx", ".rev"}
    planned = {step.name: step.version_to for step in work.reconciler.plan("default", None, "side").steps}
    work.git("checkout", "--quiet", "main")
    work.git("merge", "--quiet", "--no-edit", "side")
    work.push()
    with database.connection() as connection:
        rows = all_deployments(connection, "default")
    assert {n: (r.version.version_id, r.version.number) for n, r in rows.items() if r.version} == {
        name: (version.id, version.number) for name, version in planned.items() if version
    }


def test_a_branch_that_conflicts_is_taken_and_told_in_which_files(work: Work) -> None:
    base = work.commit(HELLO)
    live = work.commit({"patterns/hello.yaml": pattern("hello", "main")})
    work.push()
    work.git("checkout", "--quiet", "-b", "side", base)
    head = work.commit({"patterns/hello.yaml": pattern("hello", "side")})
    outcome = work.push("side")
    assert outcome.refused == {}
    both = f"{head[:10]} conflicts with {live[:10]} in patterns/hello.yaml: merge or rebase it first."
    assert outcome.lines == (f"side: this cannot be merged into main: {both}", REVIEW)
    with pytest.raises(UnmergeableError, match=r"in patterns/hello\.yaml: ") as caught:
        work.reconciler.plan("default", None, "side")
    assert caught.value.files == ("patterns/hello.yaml",)
    with pytest.raises(UnmergeableError):
        work.reconciler.plan("default", "main", "side")


def test_a_branch_of_another_history_has_no_plan(work: Work) -> None:
    work.commit(HELLO)
    work.push()
    work.git("checkout", "--quiet", "--orphan", "alien")
    work.commit({"patterns/hello.yaml": pattern("hello", "alien")})
    assert "have no common history" in work.push("alien").lines[0]
    with pytest.raises(UnmergeableError, match="no common history"):
        work.reconciler.plan("default", None, "alien")


def test_branches_too_many_to_look_at_are_named(work: Work) -> None:
    work.commit(HELLO)
    work.push()
    names = [f"side-{number}" for number in range(7)]
    for name in names:
        work.git("branch", name)
    lines = work.push(*names).lines
    assert lines[-2:] == tuple(
        f"{name}: `weft change {name}` says what it would change" for name in names[5:]
    )


BROKEN = "apiVersion: weft/v1\nkind: Pattern\nmetadata: {name: broken}\nspec: {}\n"


@pytest.fixture
def behind(work: Work) -> Work:
    """A pattern without nodes, and a deployment of a tag that is nowhere, came to main past the gate."""
    work.commit({"patterns/a.yaml": pattern("a"), "deployments/a.yaml": deployment("a")})
    work.push()
    bad = {
        "patterns/broken.yaml": BROKEN,
        "deployments/lost.yaml": deployment("lost", "a", source="{tag: lost}"),
    }
    work.commit(bad)
    work.git("tag", "carrier")
    work.push("refs/tags/carrier")
    work.server_git("update-ref", "refs/heads/main", "carrier")
    assert work.reconciler.reconcile("default").problems != ()
    return work


def test_what_came_in_past_the_gate_stops_no_push_that_has_nothing_to_do_with_it(behind: Work) -> None:
    behind.commit({"patterns/a.yaml": pattern("a", "changed")})

    first, *rest = behind.push().lines

    assert first.startswith("a  v1 → v2  live in")
    assert rest[:2] == ["not mended yet:", "1 problem in 1 file:"]
    assert rest[2].startswith("patterns/broken.yaml:4:")


def test_what_adds_to_the_problems_of_main_is_refused_for_what_it_adds(behind: Work) -> None:
    behind.commit({"patterns/worse.yaml": BROKEN.replace("name: broken", "name: worse")})

    outcome = behind.push()

    assert outcome.refused
    assert outcome.lines[0] == "1 problem in 1 file:"
    assert outcome.lines[1].startswith("patterns/worse.yaml:4:")


def test_what_is_mended_is_not_told_again(behind: Work) -> None:
    behind.commit({"patterns/broken.yaml": None, "deployments/lost.yaml": None})

    assert behind.push().lines == ("lost    undeployed",)

    behind.commit({"deployments/lost.yaml": deployment("lost", "a", source="{tag: lost}")})
    assert behind.push().lines[1].startswith("deployments/lost.yaml:6:3: There is no tag lost.")
