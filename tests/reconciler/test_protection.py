"""Who may move what: the rules as tables, then pushes that meet them."""

from dataclasses import replace

import psycopg
import pytest
from git_work import Work, deployment, pattern

from reconciler.actor import Actor
from reconciler.git.refs import ABSENT, RefUpdate
from reconciler.git.repository import Repository
from reconciler.protection import matches, project_of, refused_moves
from reconciler.snapshot import EMPTY
from schemas.documents import parse_file
from schemas.problems import Problem
from schemas.project import Project, Protected
from store.database import Database

MAIN = "refs/heads/main"
PROJECT = Project(
    name="shop",
    groups={"maintainers": ("alice", "bob"), "release-managers": ("carol",), "nobody": ()},
    branches={
        "main": Protected(push=("maintainers",)),
        "release/*": Protected(push=("release-managers",)),
        "release/open": Protected(push=("maintainers", "release-managers")),
        "*/next": Protected(push=("maintainers",)),
        "closed": Protected(push=()),
        "frozen/**": Protected(push=("nobody", "dave")),
    },
    tags={"*/production": Protected(push=("release-managers",))},
)


def said(ref: str, user: str, *, admin: bool = False, new: str = "b" * 40) -> tuple[str, ...]:
    update = RefUpdate(ref=ref, old="a" * 40, new=new)
    refused = refused_moves([update], Actor(user=user, admin=admin), PROJECT, MAIN)
    assert bool(refused.reasons) == bool(refused.lines)
    return refused.lines


@pytest.mark.parametrize(
    ("ref", "may", "may_not"),
    [
        ("refs/heads/main", "alice bob", "carol dave Alice maintainers"),
        ("refs/heads/main2", "alice dave", ""),
        ("refs/heads/team/main", "dave", ""),
        ("refs/tags/main", "dave", ""),
        ("refs/heads/release/7", "carol", "alice dave"),
        ("refs/heads/release/7/fix", "dave", ""),
        ("refs/heads/release/open", "alice carol", "dave"),
        ("refs/heads/release/next", "", "alice carol dave"),
        ("refs/heads/alice/next", "alice", "carol"),
        ("refs/heads/closed", "", "alice carol dave"),
        ("refs/heads/frozen", "alice", ""),
        ("refs/heads/frozen/a", "dave", "alice"),
        ("refs/heads/frozen/a/b/c", "dave", "alice"),
        ("refs/tags/order-intake/production", "carol", "alice dave"),
        ("refs/heads/order-intake/production", "alice", ""),
        ("refs/tags/order-intake/staging", "dave", ""),
    ],
)
def test_who_may_move_a_ref(ref: str, may: str, may_not: str) -> None:
    assert [user for user in may.split() if said(ref, user)] == []
    assert [user for user in may_not.split() if not said(ref, user)] == []
    assert said(ref, "anybody", admin=True) == ()


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("main", "main", "Main main2 a/main main/a"),
        ("v*", "v v1 v1.2.0", "v1/x xv1"),
        ("*/production", "a/production", "production a/b/production a/production/b"),
        ("a/**", "a/b a/b/c", "a b/a"),
        ("**", "a a/b", ""),
        ("v?", "v1 vv", "v v/ v10"),
    ],
)
def test_what_a_glob_matches(glob: str, yes: str, no: str) -> None:
    assert [name for name in yes.split() if not matches(glob, name)] == []
    assert [name for name in no.split() if matches(glob, name)] == []


PROPOSE = (
    "Propose it as a branch of your own instead; the push prints what it would do:",
    "  git push origin HEAD:refs/heads/carol/my-change",
)


def test_a_refusal_says_who_may_and_how_to_propose_the_change() -> None:
    assert said(MAIN, "carol") == (
        "refs/heads/main is protected by weft.yaml: maintainers (alice, bob) and admins may push there;"
        " carol may not.",
        *PROPOSE,
        "Then maintainers (alice, bob) and admins may merge it:",
        "  weft merge carol/my-change",
    )
    assert said("refs/heads/closed", "carol")[0] == (
        "refs/heads/closed is protected by weft.yaml: only admins may push there; carol may not."
    )
    assert "nobody (nobody), dave and admins" in said("refs/heads/frozen/a", "carol")[0]


def test_a_branch_that_takes_reviewed_changes_says_how_they_get_there() -> None:
    two = {
        "main": Protected(approvals=2),
        "release": Protected(approvals=1, push=("carol",)),
        "mine": Protected(),
    }
    project = replace(PROJECT, branches=two)

    def lines(ref: str, user: str = "carol", *, admin: bool = False) -> tuple[str, ...]:
        update = RefUpdate(ref=ref, old="a" * 40, new="b" * 40)
        return refused_moves([update], Actor(user=user, admin=admin), project, MAIN).lines

    assert lines(MAIN) == (
        "refs/heads/main is protected by weft.yaml: it takes changes with 2 approvals; only admins may push there;"
        " carol may not.",
        *PROPOSE,
        "Then others may approve it, but none of its authors; 2 approvals are needed to merge it:",
        "  weft approve carol/my-change",
        "  weft merge carol/my-change",
    )
    assert lines(MAIN, admin=True) == ()
    # Only the default branch has changes: elsewhere nobody could approve anything.
    assert lines("refs/heads/release") == (
        "refs/heads/release is protected by weft.yaml: it asks for approvals, which only main has;"
        " only admins may push there; carol may not.",
        *PROPOSE,
    )
    assert lines("refs/heads/mine") == ()


def test_a_deletion_is_not_proposed() -> None:
    assert said(MAIN, "alice", new=ABSENT) == ()
    assert len(said(MAIN, "carol", new=ABSENT)) == 1


def test_nobody_is_sent_to_a_branch_that_is_protected_from_them() -> None:
    everything = replace(PROJECT, branches={"**": Protected(push=("maintainers",))})
    update = RefUpdate(ref=MAIN, old=ABSENT, new="b" * 40)
    assert refused_moves([update], Actor(user="carol"), everything, MAIN).lines[-1] == (
        "Ask one of them to push it."
    )


def test_a_tag_is_not_proposed_as_a_branch_whose_merge_would_not_move_it() -> None:
    assert said("refs/tags/a/production", "dave") == (
        "refs/tags/a/production is protected by weft.yaml: release-managers (carol) and admins may push there;"
        " dave may not.",
        "Ask one of them to push it.",
    )


def test_a_large_group_is_shortened() -> None:
    large = replace(PROJECT, groups={"maintainers": tuple(f"user{number}" for number in range(30))})
    update = RefUpdate(ref=MAIN, old=ABSENT, new="b" * 40)
    [line, *_] = refused_moves([update], Actor(user="carol"), large, MAIN).lines
    assert "user9, 20 more)" in line


def test_where_the_settings_have_problems_only_admins_push_what_is_live() -> None:
    file = parse_file("weft.yaml", b"kind: Project\nspec: [")
    project = project_of(replace(EMPTY, files={"weft.yaml": file}))
    assert isinstance(project, Problem)
    updates = [RefUpdate(ref=ref, old=ABSENT, new="b" * 40) for ref in (MAIN, "refs/tags/x", "refs/heads/x")]
    refused = refused_moves(updates, Actor(user="alice"), project, MAIN)
    assert list(refused.reasons) == [MAIN, "refs/tags/x"]
    assert refused_moves(updates, Actor(user="root", admin=True), project, MAIN).reasons == {}


def test_a_repository_without_settings_protects_nothing() -> None:
    assert project_of(EMPTY) == Project(name="")


HELLO = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}


def settings(push: str = "[maintainers]") -> dict[str, str]:
    head = "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\nspec:\n"
    return {
        "weft.yaml": f"{head}  groups: {{maintainers: [alice]}}\n"
        f'  protect: {{main: {{push: {push}}}, tags: {{"*/production": {{push: {push}}}}}}}\n'
    }


def protected(work: Work) -> None:
    work.commit({**HELLO, **settings()})
    assert not work.push(pusher="alice").refused


def test_a_push_cannot_unprotect_a_branch_and_use_that_in_one_go(work: Work) -> None:
    protected(work)
    before = Repository(work.bare).refs()
    work.commit({"weft.yaml": None})
    work.git("tag", "hello/production")
    outcome = work.push("main", "refs/tags/hello/production", pusher="carol")
    assert set(outcome.refused) == {MAIN, "refs/tags/hello/production"}
    work.commit(settings("[carol]") | {"patterns/hello.yaml": pattern("hello", "two")})
    assert list(work.push("main", pusher="carol").refused) == [MAIN]
    assert Repository(work.bare).refs() == before


def test_the_first_push_that_protects_is_not_held_by_it(work: Work) -> None:
    work.commit({**HELLO, **settings()})
    assert work.push(pusher="carol").refused == {}
    work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    assert work.push(pusher="carol").lines[-1] == "  weft merge carol/my-change"


def test_a_protected_ref_is_not_deleted_either(work: Work) -> None:
    protected(work)
    work.git("tag", "hello/production")
    assert work.push("refs/tags/hello/production", pusher="alice").refused == {}
    refused = work.push(":refs/tags/hello/production", pusher="carol").refused
    assert "maintainers (alice) and admins may push there" in refused["refs/tags/hello/production"]
    assert work.push(":refs/tags/hello/production", pusher="root", admin=True).refused == {}


def test_what_else_is_wrong_with_a_push_is_told_too(work: Work) -> None:
    protected(work)
    head = work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    update = RefUpdate(ref="refs/heads/x", old="1" * 40, new=head)
    stale = RefUpdate(ref=MAIN, old="1" * 40, new=head)
    outcome = work.reconciler.push("default", [stale, update], quarantine=None, pusher=Actor(user="carol"))
    assert outcome.lines[0].startswith("refs/heads/x: it has moved meanwhile")
    assert outcome.lines[1].startswith("refs/heads/main is protected")


def moves(database: Database) -> list[tuple[str, bool, bool, str | None]]:
    """Ref, whether it was there, whether it is, who; in their order."""
    with database.connection() as connection:
        return connection.execute(
            "SELECT ref, old IS NOT NULL, new IS NOT NULL, user_name FROM ref_moves ORDER BY id"
        ).fetchall()


def test_who_pushed_is_recorded_for_every_ref_that_moved_and_stays(work: Work, database: Database) -> None:
    work.commit(HELLO)
    work.push(pusher="alice")
    work.git("branch", "side")
    work.git("tag", "v1")
    work.push("side", "refs/tags/v1", pusher="bob")
    work.push(":side", pusher="carol")
    work.commit({"patterns/hello.yaml": "kind: ["})
    assert work.push(pusher="dave").refused
    expected = [
        (MAIN, False, True, "alice"),
        ("refs/heads/side", False, True, "bob"),
        ("refs/tags/v1", False, True, "bob"),
        ("refs/heads/side", True, False, "carol"),
    ]
    assert moves(database) == expected
    work.reconciler.rebuild("default")
    assert moves(database) == expected


def test_a_ref_that_moved_behind_weft_is_recorded_without_a_name(work: Work, database: Database) -> None:
    work.commit(HELLO)
    work.push(pusher="alice")
    head = work.git("rev-parse", "HEAD")
    Repository(work.bare).update_refs([RefUpdate(ref="refs/heads/behind", old=ABSENT, new=head)])
    work.reconciler.reconcile("default")
    work.reconciler.reconcile("default")
    assert moves(database)[1:] == [("refs/heads/behind", False, True, None)]


def test_a_move_is_written_with_what_it_made_live_or_not_at_all(
    work: Work, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise psycopg.OperationalError("the connection broke")

    work.commit(HELLO)
    monkeypatch.setattr("reconciler.delivery.record_moves", fails)
    assert "not live yet" in work.push(pusher="alice").lines[0]
    monkeypatch.undo()
    with database.connection() as connection:
        assert connection.execute("SELECT name FROM deployments").fetchall() == []
    assert moves(database) == []
    work.reconciler.reconcile("default")
    assert moves(database) == [(MAIN, False, True, None)]
