"""Whose approval counts, and what is missing to merge: the rules as tables."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from reconciler.actor import Actor
from reconciler.git.commits import Commit
from reconciler.protection import ReviewRules, review_rules
from reconciler.removals import allows_removal
from reconciler.resolve import Reason
from reconciler.reviews.changes import Authors, Change, MergeText, Outlook, State, plan_digest
from reconciler.steps import Action, Binding, Plan, Step, VersionRef
from schemas.problems import Problem
from schemas.project import Project, Protected
from store.changes import Approval, Closure

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MAIN = "refs/heads/main"
HEAD, BEFORE = "b" * 40, "a" * 40
PLAN, ANOTHER = "plan", "another plan"
PROJECT = Project(
    name="shop",
    groups={"maintainers": ("alice", "bob"), "release": ("carol",)},
    branches={"main": Protected(push=("maintainers", "carol"), approvals=2)},
)

BY = "by weft.yaml, maintainers (alice, bob), carol and admins may approve and merge;"


def commit(author: str, id_: str = HEAD) -> Commit:
    return Commit(id=id_, tree="t" * 40, parents=(), author=author, message="Say two", at=NOW)


def approval(user: str, head: str = HEAD, plan: str = PLAN, *, admin: bool = False) -> Approval:
    return Approval("x", head, plan, user, admin, "", NOW)


def change(*approvals: Approval, **settings: Any) -> Change:
    said = {
        "branch": "x", "target": "main", "base": "c" * 40, "head": commit("Eve <eve@example.org>"),
        "state": State.OPEN, "authors": Authors(pushers=("dave",), commits=(commit("Eve <eve@example.org>"),)),
        "rules": review_rules(MAIN, PROJECT), "updated_at": NOW, "outlook": Outlook(digest=PLAN),
    }  # fmt: skip
    return Change(**{**said, "approvals": approvals, **settings})


@pytest.mark.parametrize(
    ("user", "author"),
    [
        *[("dave", True), ("Dave", True), ("DAVE", True), ("dave2", False), ("dav", False)],
        *[
            ("eve", True),
            ("EVE", True),
            ("eve@example.org", True),
            ("eve@other.org", False),
            ("example.org", False),
        ],
        *[("Ada Lovelace", True), ("ada", True), ("lovelace", False), ("al", True)],
    ],
)
def test_who_is_an_author(user: str, author: bool) -> None:
    commits = (
        commit("Eve <eve@example.org>"),
        commit("Ada Lovelace <al@x.org>"),
        commit("ada <>"),
        commit("x"),
    )
    assert (Authors(pushers=("dave", "frank"), commits=commits).why(user) is not None) is author


def test_authors_are_named_once() -> None:
    commits = [
        commit(author) for author in ("Dave <d@x.org>", "Eve <e@x.org>", "Eve <e@x.org>", "D <dave@x.org>")
    ]
    assert Authors(pushers=("dave",), commits=tuple(commits)).names == ("dave", "Eve <e@x.org>")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (approval("alice"), None),
        (approval("carol"), None),
        (approval("root", admin=True), None),
        (approval("alice", BEFORE), "alice approved aaaaaaaaaa, the branch is at bbbbbbbbbb now"),
        (
            approval("alice", plan=ANOTHER),
            "the plan is not the one alice approved: main, or what is live, has changed since",
        ),
        (approval("frank"), f"{BY} frank may not"),
        (approval("Alice"), f"{BY} Alice may not"),
        (approval("dave", admin=True), "dave pushed it, and authors do not approve their own change"),
        (
            approval("eve", admin=True),
            f"eve is the author of {HEAD[:10]}, and authors do not approve their own change",
        ),
    ],
)
def test_which_approval_counts(given: Approval, why: str | None) -> None:
    assert change().discounted(given) == why
    assert bool(change(given).counting) is (why is None)


@pytest.mark.parametrize(
    ("approvals", "reasons"),
    [
        ([], ["it needs 2 approvals and has 0"]),
        ([approval("alice")], ["it needs 2 approvals and has 1"]),
        ([approval("alice"), approval("alice")], ["it needs 2 approvals and has 1"]),
        (
            [approval("root", admin=True), approval("ROOT", admin=True)],
            ["it needs 2 approvals and has 1"],
        ),
        ([approval("alice"), approval("bob")], []),
        ([approval("alice"), approval("bob"), approval("carol", BEFORE)], []),
        (
            [approval("alice"), approval("bob", BEFORE)],
            ["it needs 2 approvals and has 1", "bob approved aaaaaaaaaa, the branch is at bbbbbbbbbb now"],
        ),
        ([approval("alice"), approval("bob"), approval("bob", BEFORE)], []),
        ([approval("alice", BEFORE), approval("alice"), approval("bob", BEFORE), approval("bob")], []),
    ],
)
def test_so_many_people_have_to_approve(approvals: Sequence[Approval], reasons: list[str]) -> None:
    assert list(change(*approvals).reasons) == reasons


def test_everything_that_stands_against_a_merge_is_said() -> None:
    closed = Closure("x", HEAD, "carol", "", NOW)
    free = ReviewRules()
    problem = Problem(path="a", line=1, column=1, code="c", message="m", hint="h")
    assert change(rules=free).reasons == ()
    assert change(rules=free, base=None).reasons == ("there is no main to merge it into",)
    assert change(rules=free, state=State.MERGED).reasons == ("main has bbbbbbbbbb already",)
    both = change(rules=free, state=State.CLOSED, closure=closed, outlook=Outlook(conflict="They conflict."))
    assert both.reasons == ("carol closed it; a push to x opens it again", "They conflict")
    assert change(outlook=Outlook(problems=(problem, problem))).reasons == (
        "merged, it would have 2 problems", "it needs 2 approvals and has 0",
    )  # fmt: skip


GLOBS = Project(
    name="shop",
    groups={"a": ("alice",), "b": ("alice", "bob")},
    branches={"m*": Protected(push=("b",), approvals=1), "*": Protected(push=("a",)), "**": Protected(approvals=3)},
)  # fmt: skip


@pytest.mark.parametrize(
    ("project", "ref", "approvals", "may", "may_not"),
    [
        (GLOBS, MAIN, 3, "alice", "bob carol"),
        (GLOBS, "refs/heads/x", 3, "alice", "bob carol"),
        (GLOBS, "refs/heads/x/y", 3, "alice bob carol", ""),
        (
            replace(GLOBS, branches={**GLOBS.branches, "main": Protected(approvals=1)}),
            MAIN,
            1,
            "alice carol",
            "",
        ),
        (replace(GLOBS, branches={"main": Protected(push=(), approvals=1)}), MAIN, 1, "", "alice bob carol"),
        (replace(GLOBS, branches={"main": Protected(push=("bob",))}), MAIN, 0, "bob", "alice carol"),
        (replace(GLOBS, branches={}), MAIN, 0, "alice bob carol", ""),
        (
            Problem(path="weft.yaml", line=3, column=1, code="c", message="m", hint="h"),
            MAIN,
            0,
            "",
            "alice bob",
        ),
    ],
)
def test_who_reviews_by_which_rules(
    project: Project | Problem, ref: str, approvals: int, may: str, may_not: str
) -> None:
    rules = review_rules(ref, project)
    assert rules.approvals == approvals
    assert [user for user in may.split() if rules.refuses(Actor(user=user))] == []
    assert [user for user in may_not.split() if not rules.refuses(Actor(user=user))] == []
    assert rules.refuses(Actor(user="root", admin=True)) is None


ONE = VersionRef(id="v1", number=1)
BINDING = Binding(pattern="p", environment="production", state="active", version=ONE, spec={"pattern": "p"})
AFTER = replace(BINDING, version=VersionRef(id="v2", number=2))
STEP = Step(name="d", action=Action.CHANGE, before=BINDING, after=AFTER)
UNCHANGED = Step(name="e", action=Action.UNCHANGED, before=BINDING, after=BINDING)


@pytest.mark.parametrize(
    "other",
    [
        Plan(base="y", head="z", merges=True, looked_at=(STEP,)),
        Plan(base="x", head="x", looked_at=(STEP, UNCHANGED)),
        Plan(base="x", head="x", looked_at=(replace(STEP, next_fires=(NOW,)),)),
        Plan(base="x", head="x", looked_at=(replace(STEP, commit=commit("Eve <e@x>"), tried=HEAD),)),
        Plan(
            base="x",
            head="x",
            looked_at=(replace(STEP, after=replace(AFTER, version=VersionRef(id="v2", number=9))),),
        ),
    ],
)
def test_plans_that_change_the_same_are_one(other: Plan) -> None:
    assert plan_digest(other) == plan_digest(Plan(base="x", head="x", looked_at=(STEP,)))


@pytest.mark.parametrize(
    "step",
    [
        replace(STEP, name="e"),
        replace(STEP, action=Action.CREATE),
        replace(STEP, before=None),
        replace(STEP, before=AFTER),
        replace(STEP, after=BINDING),
        replace(STEP, after=replace(AFTER, state="paused")),
        replace(STEP, after=replace(AFTER, environment="staging")),
        replace(STEP, after=replace(AFTER, pattern="q")),
        replace(STEP, after=replace(AFTER, spec={"pattern": "p", "variables": {"x": 1}})),
        replace(STEP, after=replace(AFTER, metadata={"title": "t"})),
        replace(STEP, reason=Reason(code="lost-tag", message="m")),
    ],
)
def test_plans_that_do_not_are_others(step: Step) -> None:
    assert plan_digest(Plan(base="x", head="x", looked_at=(step,))) != plan_digest(
        Plan(base="x", head="x", looked_at=(STEP,))
    )
    assert plan_digest(Plan(base="x", head="x", looked_at=())) != plan_digest(
        Plan(base="x", head="x", looked_at=(step,))
    )


def test_what_a_merge_says() -> None:
    text = MergeText(branch="x/y", subject="Say two", host="weft.test")
    assert str(text) == "Merge x/y: Say two\n\nWeft-Action: merge\nWeft-Change: x/y\n"
    full = replace(text, said=" Why.\n\nWeft-Allow-Removal: yes\n", approved=["alice", "bob"])
    assert str(full) == (
        "Merge x/y: Say two\n\nWhy.\n\nWeft-Allow-Removal: yes\n\nWeft-Action: merge\nWeft-Change: x/y\n"
        "Approved-by: alice <alice@weft.test>\nApproved-by: bob <bob@weft.test>\n"
    )
    assert not allows_removal(str(full))
    assert allows_removal(str(replace(full, may_remove=True)))
