"""Deployments that follow a commit by its id, or by the beginning of one."""

import hashlib
from collections.abc import Callable

import pytest
from git_work import Work, deployment, pattern

from reconciler.git.errors import AmbiguousRevisionError, NoCommitError, UnknownRevisionError
from reconciler.git.repository import Repository
from store.deployments import Deployment

SHORT = 7


def hashed(kind: str, content: bytes) -> str:
    return hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()


def twins(work: Work, kind: str = "commit") -> tuple[str, str]:
    """A commit of the head's tree, and another one (or a blob) whose id begins with the same digits."""
    tree = work.git("rev-parse", "HEAD^{tree}")
    commits: dict[str, bytes] = {}
    for number in range(10**6):
        person = f"Ada <ada@example.org> {1_700_000_000 + number} +0000"
        commit = f"tree {tree}\nauthor {person}\ncommitter {person}\n\ntwin\n".encode()
        other = commit if kind == "commit" else f"blob {number}".encode()
        short = hashed(kind, other)[:SHORT]
        if short in commits:
            return write(work, "commit", commits[short]), write(work, kind, other)
        commits[hashed("commit", commit)[:SHORT]] = commit
    raise AssertionError("no two ids begin alike")


def write(work: Work, kind: str, content: bytes) -> str:
    return work.git("hash-object", "-w", "-t", kind, "--stdin", stdin=content)


def follow(work: Work, commit: str) -> None:
    work.commit({"deployments/hello.yaml": deployment("hello", source=f"{{commit: '{commit}'}}")})


def test_a_short_id_that_another_commit_shares_is_ambiguous(
    work: Work, live: Callable[[], Deployment]
) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello")})
    work.push()
    one, two = twins(work)
    assert one[:SHORT] == two[:SHORT]
    work.git("branch", "one", one)
    work.git("branch", "two", two)
    work.push("one")
    follow(work, one[:SHORT])
    assert work.push().lines[0].startswith("hello  v1  live in")
    # The other one arrives: what is live stays, and says what to do.
    assert work.push("two").lines[0] == (
        f"hello  v1  stalled: 2 commits begin with {one[:SHORT]}. Write more digits of the one that you mean."
    )
    assert (live().stalled, live().state, live().conditions[1].reason) == (True, "active", "ambiguous-commit")
    follow(work, one[: SHORT + 3] if one[: SHORT + 3] != two[: SHORT + 3] else one)
    assert work.push().lines[0].startswith("hello  v1  live in")
    # A deployment that brings such an id is refused where it says so.
    follow(work, two[:SHORT])
    outcome = work.push()
    assert outcome.refused
    assert outcome.lines[1] == (
        f"deployments/hello.yaml:6:3: 2 commits begin with {two[:SHORT]}. [ambiguous-commit] "
        "Write more digits of the one that you mean."
    )


def test_the_commit_and_its_twin_may_come_with_the_very_push_that_names_it(
    work: Work, live: Callable[[], Deployment]
) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello")})
    work.push()
    one, two = twins(work)
    for name, commit in (("one", one), ("two", two)):
        work.git("branch", name, commit)
    follow(work, one[:SHORT])
    assert "[ambiguous-commit]" in work.push("main", "one", "two").lines[1]
    assert work.push("main", "one").lines[0].startswith("hello  v1  live in")


def test_other_objects_that_begin_alike_are_no_rivals_of_a_commit(
    work: Work, live: Callable[[], Deployment]
) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello")})
    work.push()
    commit, blob = twins(work, "blob")
    assert commit[:SHORT] == blob[:SHORT]
    work.git("branch", "one", commit)
    work.git("tag", "blob", blob)
    work.push("one", "refs/tags/blob")
    follow(work, commit[:SHORT])
    assert work.push().lines[0].startswith("hello  v1  live in")
    assert live().tried_commit == commit


@pytest.mark.parametrize("length", [SHORT, 40])
def test_what_is_no_commit_is_refused_and_named(work: Work, length: int) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello")})
    work.git("tag", "--annotate", "-m", "one", "one")
    work.push("main", "refs/tags/one")
    for kind, name in (("blob", "HEAD:patterns/hello.yaml"), ("tree", "HEAD^{tree}"), ("tag", "one")):
        identity = work.git("rev-parse", name)[:length]
        follow(work, identity)
        outcome = work.push()
        assert outcome.lines[1] == (
            f"deployments/hello.yaml:6:3: {identity} is a {kind}, not a commit. [not-a-commit] "
            "Name the id of a commit."
        )


def test_an_id_of_too_many_digits_or_of_nothing_is_unknown(work: Work) -> None:
    head = work.commit({"patterns/hello.yaml": pattern("hello")})
    work.push()
    for missing in (head + "0", "a" * 64, "0" * 40, "0" * 7):
        follow(work, missing)
        assert f"There is no commit {missing} in this repository. [commit-not-found]" in work.push().lines[1]


def test_the_door_to_git_tells_the_three_cases_apart(work: Work) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello")})
    one, two = twins(work)
    repository = Repository(work.folder)
    assert repository.commit_id(one) == one
    with pytest.raises(AmbiguousRevisionError):
        repository.commit_id(two[:SHORT])
    with pytest.raises(NoCommitError, match="is a tree"):
        repository.commit_id(work.git("rev-parse", "HEAD^{tree}")[:12])
    with pytest.raises(UnknownRevisionError):
        repository.commit_id("f" * 12)
