"""Deployments that follow a tag or the highest of several: promoted, rolled back and stalled by pushes of tags."""

import re
from collections.abc import Callable

import pytest
from git_work import Work, deployment, pattern

from reconciler.answer import PushOutcome
from store.deployments import Deployment

Read = Callable[[str], Deployment]
VERSIONS = "{tags: hello/v*}"

NOTHING = ["nothing that is live has changed"]


def tag(work: Work, name: str, *arguments: str) -> PushOutcome:
    work.git("tag", "--force", name, *arguments)
    return work.push(f"refs/tags/{name}")


def follow(work: Work, source: str, *tags: str) -> PushOutcome:
    work.commit({"deployments/hello.yaml": deployment("hello", source=source)})
    return work.push("main", *(f"refs/tags/{name}" for name in tags))


def number(deployment: Deployment) -> int | None:
    return deployment.version.number if deployment.version else None


def said(outcome: PushOutcome) -> list[str]:
    """The lines, with the times taken out."""
    assert not outcome.refused, outcome
    return [re.sub(r"live in \d+ ms.*", "live", line) for line in outcome.lines]


def test_a_higher_tag_promotes_and_deleting_it_goes_back(work: Work, live: Read, history: list[str]) -> None:
    work.git("tag", "hello/v1.0.0", history[0])
    assert said(follow(work, VERSIONS, "hello/v1.0.0")) == ["hello  v1  live"]
    assert said(tag(work, "hello/v1.10.0", history[2])) == ["hello  v1 → v3  live"]
    # Neither a lower version, nor a pre-release, nor what is no version changes anything.
    for name in ("hello/v1.9.0", "hello/v2.0.0-rc.1", "hello/vNext", "hello/old/v3.0.0", "v4.0.0"):
        assert said(tag(work, name, history[1])) == NOTHING
    assert (number(live()), live().revision) == (3, 2)
    first, third = live().version, work.push(":refs/tags/hello/v1.10.0")
    assert said(third) == ["hello  v3 → v2  live"]
    assert said(work.push("refs/tags/hello/v1.10.0")) == ["hello  v2 → v3  live"]
    assert (live().version, live().commit) == (first, history[2])


def test_a_tag_of_a_set_that_moves_takes_its_deployment_along(
    work: Work, live: Read, history: list[str]
) -> None:
    work.git("tag", "hello/v1.0.0", history[0])
    follow(work, VERSIONS, "hello/v1.0.0")
    assert said(tag(work, "hello/v1.0.0", history[1], "--annotate", "-m", "again")) == [
        "hello  v1 → v2  live"
    ]
    assert said(tag(work, "hello/v1.0.0", history[0])) == ["hello  v2 → v1  live"]


def test_pre_releases_go_live_for_those_who_name_them(work: Work, live: Read, history: list[str]) -> None:
    work.git("tag", "hello/v1.2.0-rc.9", history[0])
    assert said(follow(work, "{tags: 'hello/v1.2.0-*'}", "hello/v1.2.0-rc.9")) == ["hello  v1  live"]
    assert said(tag(work, "hello/v1.2.0", history[2])) == NOTHING
    assert said(tag(work, "hello/v1.2.0-rc.10", history[1])) == ["hello  v1 → v2  live"]


def test_when_the_last_matching_tag_goes_the_last_good_version_stays(
    work: Work, live: Read, history: list[str]
) -> None:
    work.git("tag", "hello/v1.0.0", history[1])
    follow(work, VERSIONS, "hello/v1.0.0")
    assert said(work.push(":refs/tags/hello/v1.0.0")) == [
        "hello  v2  stalled: No tag matches hello/v*. "
        "Push one, together with this or before it, or follow another source."
    ]
    hello = live()
    assert (hello.state, number(hello), hello.stalled, hello.revision) == ("active", 2, True, 1)
    assert hello.conditions[1].reason == "no-tag-matches"
    assert said(tag(work, "hello/next", history[2])) == NOTHING
    assert said(tag(work, "hello/vNext", history[2])) == [
        "hello  v2  stalled: No tag that matches hello/v* is a semantic version, such as hello/vNext. "
        "Push one that ends in three numbers, as in v1.2.0, or follow another source."
    ]
    assert said(tag(work, "hello/v1.0.0", history[1])) == ["hello  v2  no longer stalled"]
    assert (live().stalled, live().revision) == (False, 1)


def test_a_source_without_its_tag_is_refused_at_its_line_and_taken_together_with_it(
    work: Work, live: Read, history: list[str]
) -> None:
    outcome = follow(work, VERSIONS)
    assert outcome.refused
    assert outcome.lines == (
        "1 problem in 1 file:",
        "deployments/hello.yaml:6:3: No tag matches hello/v*. [no-tag-matches] "
        "Push one, together with this or before it, or follow another source.",
    )
    work.git("tag", "hello/v1.0.0", history[1])
    assert said(work.push("main", "refs/tags/hello/v1.0.0")) == ["hello  v2  live"]


def test_several_tags_and_a_branch_move_in_one_push(work: Work, live: Read, history: list[str]) -> None:
    work.git("tag", "hello/v1.0.0", history[0])
    work.git("tag", "prod", history[0])
    work.commit({"deployments/prod.yaml": deployment("prod", "hello", source="{tag: prod}")})
    follow(work, VERSIONS, "hello/v1.0.0", "prod")
    four = work.commit({"patterns/hello.yaml": pattern("hello", "four")})
    work.git("tag", "hello/v1.1.0", history[1])
    work.git("tag", "--annotate", "-m", "five", "hello/v1.2.0", four)
    work.git("tag", "--force", "prod", history[2])
    tags = [f"refs/tags/{name}" for name in ("hello/v1.1.0", "hello/v1.2.0", "prod")]
    assert said(work.push("main", *tags)) == ["hello  v1 → v4  live", "prod   v1 → v3  live"]
    work.git("tag", "--force", "prod", four)
    assert said(work.push(":refs/tags/hello/v1.2.0", "refs/tags/prod")) == [
        "hello  v4 → v2  live",
        "prod   v3 → v4  live",
    ]
    # What is refused for one of them moves none.
    work.write({"patterns/hello.yaml": "kind: ["})
    work.git("commit", "--quiet", "--all", "-m", "Break")
    refused = work.push("main", "refs/tags/hello/v1.2.0")
    assert set(refused.refused) == {"refs/heads/main", "refs/tags/hello/v1.2.0"}
    assert number(live()) == 2


def test_a_tag_may_be_on_what_the_default_branch_never_held(
    work: Work, live: Read, history: list[str]
) -> None:
    work.git("tag", "hello/v1.0.0", history[0])
    follow(work, VERSIONS, "hello/v1.0.0")
    work.git("checkout", "--quiet", "--detach", history[0])
    hotfix = work.commit({"patterns/hello.yaml": pattern("hello", "hotfix")})
    (line,) = said(tag(work, "hello/v1.0.1", hotfix))
    assert re.fullmatch(r"hello  v1 → [0-9a-f]{10}  live", line)
    assert (number(live()), live().commit) == (None, hotfix)
    # A commit that has nothing of the kind stalls and replaces nothing.
    empty = work.commit({"patterns/hello.yaml": None})
    (line,) = said(tag(work, "hello/v1.0.2", empty))
    assert f"stalled: Commit {empty[:10]} has no pattern hello. Add it there" in line
    assert live().commit == hotfix
    assert live().stalled


def test_a_tag_on_no_commit_stalls_whoever_follows_it_and_moves_all_the_same(
    work: Work, live: Read, history: list[str]
) -> None:
    blob = work.git("hash-object", "-w", "patterns/hello.yaml")
    tree = work.git("rev-parse", "HEAD^{tree}")
    # Git allows it, and nobody follows it.
    assert said(tag(work, "readme", blob)) == NOTHING
    work.git("tag", "hello/v1.0.0", history[0])
    work.git("tag", "prod", history[0])
    work.commit({"deployments/prod.yaml": deployment("prod", "hello", source="{tag: prod}")})
    follow(work, VERSIONS, "hello/v1.0.0", "prod")
    assert said(tag(work, "hello/v2.0.0", tree, "--annotate", "-m", "a tree")) == [
        "hello  v1  stalled: The tag hello/v2.0.0 is on a tree, not on a commit. "
        "Move it to a commit, delete it, or follow another source."
    ]
    assert "The tag prod is on a blob, not on a commit." in said(tag(work, "prod", blob))[0]
    assert live("prod").conditions[1].reason == "tag-without-commit"
    assert (number(live()), number(live("prod"))) == (1, 1)
    assert said(work.push(":refs/tags/hello/v2.0.0")) == ["hello  v1  no longer stalled"]
    work.commit({"deployments/more.yaml": deployment("more", "hello", source="{tag: readme}")})
    assert (
        "more.yaml:6:3: The tag readme is on a blob, not on a commit. [tag-without-commit]"
        in (work.push().lines[1])
    )


def test_a_tag_can_be_the_first_thing_that_is_ever_pushed(work: Work, live: Read) -> None:
    commit = work.commit({"patterns/hello.yaml": pattern("hello")})
    assert said(tag(work, "hello/v1.0.0", commit)) == NOTHING
    assert said(follow(work, VERSIONS)) == ["hello  v1  live"]


def test_two_tags_of_equal_versions_are_told_apart_by_name(
    work: Work, live: Read, history: list[str]
) -> None:
    work.git("tag", "hello/v1.0.0+1", history[0])
    work.git("tag", "hello/v1.0.0+2", history[1])
    assert said(follow(work, VERSIONS, "hello/v1.0.0+1", "hello/v1.0.0+2")) == ["hello  v2  live"]
    assert said(tag(work, "hello/v1.0.0", history[2])) == NOTHING


def test_tags_that_change_nothing_are_looked_at_once(
    work: Work, live: Read, history: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work.git("tag", "hello/v1.0.0", history[2])
    follow(work, VERSIONS, "hello/v1.0.0")
    work.git("tag", "hello/v1.1.0", "main")
    assert said(work.push("refs/tags/hello/v1.1.0")) == NOTHING
    monkeypatch.setattr("reconciler.view.View._wanted", lambda *_: pytest.fail("looked at again"))
    assert said(tag(work, "unrelated", history[0])) == NOTHING
    assert number(live()) == 3


def test_a_rebuild_finds_the_highest_tag_again(work: Work, live: Read, history: list[str]) -> None:
    for name, commit in zip(("hello/v1.0.0", "hello/v1.1.0"), history, strict=False):
        work.git("tag", name, commit)
    follow(work, VERSIONS, "hello/v1.0.0", "hello/v1.1.0")
    before = live()
    work.reconciler.rebuild("default")
    assert (live().version, live().stalled, live().revision) == (before.version, False, before.revision)
