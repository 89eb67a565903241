"""A repository that is kept elsewhere, mirrored with real Git: what moves where, and what stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from git_clone import Clone
from git_work import ENVIRONMENT, Work, deployment, pattern

from reconciler.actions.authoring import Request
from reconciler.actions.requests import Promote, RollBack
from reconciler.actor import Actor
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from reconciler.upstream.mirror import Mirror, Synced
from reconciler.upstream.remote import Remote
from store.database import Database
from store.deployments import get_deployment, revisions
from store.ref_moves import list_moves
from store.repositories import repository_state
from store.upstream import Apart
from store.versions import list_versions

HELLO = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}
ADA = Actor(user="ada")


def hello(message: str, **spec: str) -> Mapping[str, str | bytes]:
    return {
        "patterns/hello.yaml": pattern("hello", message),
        "deployments/hello.yaml": deployment("hello", **spec),
    }


@dataclass
class World:
    """A bare upstream with somebody's clone of it, and a Weft that mirrors it."""

    upstream: Path
    clone: Clone
    reconciler: Reconciler
    database: Database
    mirror: Mirror

    def sync(self) -> Synced:
        synced = self.mirror.sync()
        assert synced.look.error is None, synced.look.error
        return synced

    def push(self, files: Mapping[str, str | bytes], *refs: str) -> str:
        head = self.clone.commit(dict(files))
        self.clone.git("push", "--quiet", "origin", *(refs or ("main",)))
        return head

    def here(self) -> dict[str, str]:
        return Repository(self.bare).refs()

    def there(self) -> dict[str, str]:
        return Repository(self.upstream).refs()

    @property
    def bare(self) -> Path:
        return self.reconciler.ensure("default")

    def live(self, name: str = "hello") -> tuple[int | None, str]:
        """Its version's number, and why it is stalled."""
        with self.database.connection() as connection:
            found = get_deployment(connection, "default", name)
        assert found is not None
        stalls = [condition.message for condition in found.conditions if condition.type == "Stalled"]
        return found.version.number if found.version else None, "".join(stalls)

    def act(self, name: str, action: RollBack | Promote) -> str:
        return self.reconciler.act("default", Request(name=name, action=action, actor=ADA)).commit

    def numbers(self, name: str = "hello") -> dict[int, str]:
        with self.database.connection() as connection:
            found = list_versions(connection, "default", name)
        return {one.number: one.version_id for one in found if one.number is not None}


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return Repository.ensure(tmp_path / "upstream.git").path


@pytest.fixture
def world(tmp_path: Path, upstream: Path, reconciler: Reconciler, database: Database) -> World:
    return World(
        upstream=upstream,
        clone=Clone.new(tmp_path / "clone", str(upstream)),
        reconciler=reconciler,
        database=database,
        mirror=mirror_of(reconciler, upstream),
    )


def mirror_of(reconciler: Reconciler, upstream: Path) -> Mirror:
    return Mirror(reconciler, "default", Remote(str(upstream)), public_url="http://weft.example:8080")


def test_what_is_pushed_to_the_upstream_is_live_and_says_who_moved_it(world: World) -> None:
    head = world.push(HELLO)
    synced = world.sync()
    assert synced.here == ("refs/heads/main",)
    assert world.live() == (1, "")
    second = world.push(hello("two"))
    assert world.sync().plan is not None
    assert world.live() == (2, "")
    with world.database.connection() as connection:
        moves = list_moves(connection, "default", None, None, 10)
        found = get_deployment(connection, "default", "hello")
        assert found is not None
        newest = revisions(connection, found.id, before=None, limit=1)[0]
    assert [(move.old, move.new, move.user) for move in moves] == [
        (head, second, "upstream"),
        (None, head, "upstream"),
    ]
    assert (newest.author, newest.actor) == ("Eve <eve@example.org>", None)
    assert world.sync() == Synced(look=synced.look)


def test_an_upstream_whose_default_branch_has_another_name_is_mirrored_under_that(
    world: World, upstream: Path
) -> None:
    Repository(upstream).set_default_ref("refs/heads/master")
    world.clone.git("checkout", "--quiet", "-b", "master")
    world.push(HELLO, "master")
    world.sync()
    assert Repository(world.bare).default_ref() == "refs/heads/master"
    assert world.live() == (1, "")
    with world.database.connection() as connection:
        state = repository_state(connection, "default")
    assert state is not None
    assert state.default_branch == "master"


def test_an_empty_upstream_gets_what_is_here(world: World, work: Work) -> None:
    head = work.commit(HELLO)
    work.git("tag", "v1")
    work.push("main", "refs/tags/v1")
    assert world.sync().there == ("refs/heads/main", "refs/tags/v1")
    assert world.there() == {"refs/heads/main": head, "refs/tags/v1": head}


def test_two_repositories_without_a_common_history_are_left_alone_and_that_is_said(
    world: World, work: Work
) -> None:
    work.commit(HELLO)
    work.push()
    world.push({"README.md": "another\n"})
    here, there = world.here(), world.there()
    for _ in range(2):
        look = world.mirror.sync().look
        assert look.error is not None
        assert "main here and main of the upstream have no common history" in look.error
    assert (world.here(), world.there()) == (here, there)


def test_an_action_and_a_push_to_weft_are_pushed_to_the_upstream(
    world: World, tmp_path: Path, reconciler: Reconciler
) -> None:
    world.push(HELLO)
    world.push(hello("two", source="{tag: hello/production}"))
    world.clone.git("tag", "hello/production", "HEAD~1")
    world.clone.git("push", "--quiet", "origin", "hello/production")
    world.sync()
    assert not world.mirror.has_news()
    world.act("hello", Promote(version=2))
    assert world.live() == (2, "")
    assert world.mirror.has_news()
    assert world.sync().there == ("refs/tags/hello/production",)
    world.act("hello", Promote(branch="main"))
    assert world.sync().there == ("refs/heads/main",)
    assert world.here() == world.there()
    assert not world.mirror.has_news()
    world.clone.git("pull", "--quiet", "origin", "main")
    assert "Weft-Action: promote" in world.clone.git("log", "-1", "--format=%B")


def test_a_force_push_is_followed_and_what_was_frozen_keeps_its_number(world: World) -> None:
    first = world.push(HELLO)
    world.push(hello("two"))
    world.push(hello("three"))
    world.sync()
    before = world.numbers()
    assert sorted(before) == [1, 2, 3]
    world.clone.git("reset", "--quiet", "--hard", first)
    world.push(hello("four"), "+main")
    world.sync()
    assert world.live() == (4, "")
    after = world.numbers()
    assert {number: after[number] for number in before} == before
    world.push(hello("two"))
    world.sync()
    assert world.live() == (2, "")
    world.reconciler.rebuild("default")
    assert world.numbers() == after
    assert world.live() == (2, "")


def test_numbers_survive_a_lost_database_after_several_force_pushes(world: World, database: Database) -> None:
    first = world.push(HELLO)
    for text in ("two", "three"):
        world.clone.git("reset", "--quiet", "--hard", first)
        world.push(hello(text), "+main")
        world.sync()
        world.push(hello(f"{text} and more"))
        world.sync()
    before, live = world.numbers(), world.live()
    assert sorted(before) == [1, 2, 3, 4, 5]
    with database.connection() as connection:
        connection.execute("TRUNCATE repositories, versions, assets, freezes, deployments, revisions")
    fresh = Reconciler(
        database, world.bare.parent, installation_key=b"k" * 32, public_url="http://weft.example"
    )
    fresh.reconcile("default")
    assert world.numbers() == before
    assert world.live() == live


def test_both_sides_moved_and_their_changes_go_together(world: World) -> None:
    world.push({**HELLO, "patterns/other.yaml": pattern("other")})
    world.push(hello("two"))
    world.sync()
    ours = world.act("hello", RollBack(to=1))
    theirs = world.push({"patterns/other.yaml": pattern("other", "changed")})
    synced = world.sync()
    assert (synced.here, synced.there) == (("refs/heads/main",), ("refs/heads/main",))
    assert world.here() == world.there()
    merge = Repository(world.bare).commit(world.here()["refs/heads/main"])
    assert merge.parents == (ours, theirs)
    assert merge.author == "Weft <weft@weft.example>"
    assert world.live() == (1, "")
    assert len(world.numbers("other")) == 2
    with world.database.connection() as connection:
        state = repository_state(connection, "default")
    assert state is not None
    assert state.tried_commit == merge.id


def test_a_weft_as_the_upstream_gets_a_merge_with_its_own_side_first(
    world: World, upstream: Path, database: Database
) -> None:
    world.push({**HELLO, "patterns/other.yaml": pattern("other")})
    world.push(hello("two"))
    world.sync()
    hook = upstream / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\ngit rev-list --first-parent "$3" | grep -q "$2" ||'
        ' { echo "its merge has main on the wrong side; run git pull --rebase, then push again"; exit 1; }\n'
    )
    hook.chmod(0o755)
    ours = world.act("hello", RollBack(to=1))
    theirs = world.push({"patterns/other.yaml": pattern("other", "changed")})
    assert world.sync().look.apart == ()
    assert world.here() == world.there()
    head = Repository(world.bare).commit(world.here()["refs/heads/main"])
    assert head.parents[0] == theirs
    assert Repository(world.bare).is_ancestor(ours, head.id)
    assert world.live() == (1, "")
    numbers = world.numbers("hello"), world.numbers("other")
    world.reconciler.rebuild("default")
    assert (world.numbers("hello"), world.numbers("other")) == numbers
    world.act("hello", Promote(version=2))
    assert world.sync().there == ("refs/heads/main",)


def test_a_conflict_overwrites_nothing_and_its_commands_resolve_it(
    world: World, tmp_path: Path, work: Work
) -> None:
    world.push(HELLO)
    world.sync()
    work.git("pull", "--quiet", str(world.bare), "main")
    ours = work.commit(hello("ours"))
    assert work.push().refused == {}
    theirs = world.push(hello("theirs"))
    synced = world.sync()
    assert (synced.here, synced.there) == ((), ())
    assert world.here() == {"refs/heads/main": ours}
    assert world.there() == {"refs/heads/main": theirs}
    assert world.live() == (2, "")
    (apart,) = synced.look.apart
    assert (apart.ref, apart.here, apart.there) == ("refs/heads/main", ours, theirs)
    assert apart.reason == (
        "main moved here and in the upstream, and conflict in patterns/hello.yaml."
        " Both stay as they are until they are merged."
    )
    assert apart.resolve == (
        "git clone --branch main http://weft.example:8080/git/default.git resolve && cd resolve",
        f"git pull --no-rebase {world.upstream} main",
        "git add --all && git commit --no-edit  # after resolving what it shows",
        "git push origin HEAD:main",
    )
    # As the commands say; the last one goes through the gate.
    assert "CONFLICT" in run_fails(work, "pull", "--no-rebase", str(world.upstream), "main")
    work.write(hello("both"))
    work.git("add", "--all")
    work.git("commit", "--no-edit", "--quiet")
    assert work.push().refused == {}
    synced = world.sync()
    assert synced.look.apart == ()
    assert synced.there == ("refs/heads/main",)
    assert world.here() == world.there()


def run_fails(work: Work, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=work.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def test_a_bad_commit_there_leaves_what_was_live_and_says_why_and_a_good_one_heals_it(world: World) -> None:
    world.push(HELLO)
    world.sync()
    bad = pattern("hello").replace("uses: log", "uses: logg")
    world.push({"patterns/hello.yaml": bad, "patterns/other.yaml": pattern("other")})
    world.sync()
    number, why = world.live()
    assert number == 1
    assert "patterns/hello.yaml" in why
    assert "logg" in why
    assert len(world.numbers("other")) == 1  # one bad file stops nothing else
    world.push(hello("good again"))
    world.sync()
    assert world.live() == (2, "")


def test_a_bad_file_there_stops_no_action_and_no_push_about_another(world: World, work: Work) -> None:
    other = {"patterns/other.yaml": pattern("other"), "deployments/other.yaml": deployment("other")}
    world.push({**HELLO, **other})
    world.sync()
    world.push(hello("two"))
    world.sync()
    bad = pattern("other").replace("uses: log", "uses: logg")
    world.push({"patterns/other.yaml": bad})
    world.sync()
    why = world.live("other")
    assert "logg" in why[1]
    world.act("hello", RollBack())
    assert (world.live(), world.live("other")[0]) == ((1, ""), 1)
    assert world.sync().there == ("refs/heads/main",)
    work.git("pull", "--quiet", str(world.bare), "main")
    work.commit(hello("three"))
    assert work.push().refused == {}
    assert "logg" in world.live("other")[1]
    # What a push touches is its own doing, and what it mends is mended.
    work.commit({"patterns/other.yaml": f"# Not mended\n{bad}"})
    assert "patterns/other.yaml:8" in "".join(work.push().lines)
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.git("rm", "--quiet", "patterns/other.yaml")
    work.commit({})
    assert "deployments/other.yaml" in "".join(work.push().lines)
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit({"patterns/other.yaml": pattern("other", "mended")})
    assert work.push().refused == {}
    assert world.live("other") == (2, "")
    with world.database.connection() as connection:
        state = repository_state(connection, "default")
    assert state is not None
    assert state.applied_commit == state.tried_commit


def test_a_change_there_of_what_is_archived_stops_nothing_else(world: World, work: Work) -> None:
    world.push({**HELLO, "deployments/old.yaml": deployment("old", "hello", state="archived")})
    world.sync()
    world.push({"deployments/old.yaml": deployment("old", "hello")})
    world.sync()
    work.git("pull", "--quiet", str(world.bare), "main")
    work.commit(hello("two"))
    assert work.push().refused == {}
    assert world.live() == (2, "")
    work.commit({"deployments/old.yaml": deployment("old", "hello", variables="{x: 1}")})
    assert "archived by commit" in "".join(work.push().lines)


def test_an_emptied_tree_there_undeploys_nothing(world: World) -> None:
    world.push(HELLO)
    world.sync()
    world.clone.git("rm", "--quiet", "-r", ".")
    world.push({})
    world.sync()
    number, why = world.live()
    assert number == 1
    assert "Weft-Allow-Removal: yes" in why


def test_an_unreachable_upstream_changes_nothing_and_is_followed_again_when_it_is_back(
    world: World, upstream: Path
) -> None:
    world.push(HELLO)
    world.push(hello("two"))
    world.sync()
    away = upstream.rename(upstream.with_name("away.git"))
    look = world.mirror.sync().look
    assert look.error is not None
    assert look.error.startswith(f"{upstream} cannot be read: ")
    world.act("hello", RollBack(to=1))
    assert world.live() == (1, "")
    assert world.mirror.sync().look == look
    away.rename(upstream)
    assert world.sync().there == ("refs/heads/main",)
    assert world.here() == world.there()


def test_branches_and_tags_deleted_there_are_deleted_here_unless_they_moved(world: World, work: Work) -> None:
    world.push(HELLO)
    world.clone.git("tag", "v1")
    world.clone.git("branch", "side")
    world.clone.git("branch", "kept")
    world.clone.git("push", "--quiet", "origin", "side", "kept", "v1")
    world.sync()
    work.git("fetch", "--quiet", str(world.bare), "kept:kept", "main:main2")
    work.git("checkout", "--quiet", "kept")
    kept = work.commit({"patterns/hello.yaml": pattern("hello", "moved here")})
    work.push("kept")
    world.clone.git("push", "--quiet", "origin", "--delete", "side", "kept", "v1")
    world.sync()
    assert set(world.here()) == {"refs/heads/main", "refs/heads/kept"}
    assert world.there() == world.here()
    assert world.there()["refs/heads/kept"] == kept


def test_what_is_deleted_here_is_deleted_there(world: World, work: Work) -> None:
    head = world.push(HELLO)
    world.clone.git("tag", "v1")
    world.clone.git("push", "--quiet", "origin", "v1")
    world.sync()
    work.push(":refs/tags/v1")
    assert world.sync().there == ("refs/tags/v1",)
    assert world.there() == {"refs/heads/main": head}


def test_a_default_branch_deleted_there_stays_here_and_that_is_said(world: World) -> None:
    world.push(HELLO)
    world.clone.git("push", "--quiet", "origin", "main:side")
    world.sync()
    here = world.here()
    subprocess.run(["git", "update-ref", "-d", "refs/heads/main"], cwd=world.upstream, check=True)
    look = world.mirror.sync().look
    assert look.error is not None
    assert "The upstream has no main any more. Nothing is deleted here" in look.error
    subprocess.run(["git", "update-ref", "-d", "refs/heads/side"], cwd=world.upstream, check=True)
    look = world.mirror.sync().look
    assert look.error is not None
    assert "The upstream is empty now" in look.error
    assert world.here() == here
    assert world.live() == (1, "")
    world.push(hello("two"))
    world.sync()
    assert world.live() == (2, "")


def test_a_tag_moved_on_both_sides_is_left_and_reported_while_the_rest_goes_on(
    world: World, work: Work
) -> None:
    first = world.push(HELLO)
    second = world.push(hello("two"))
    world.clone.git("tag", "v1", first)
    world.clone.git("push", "--quiet", "origin", "v1")
    world.sync()
    work.git("pull", "--quiet", str(world.bare), "main")
    ours = work.commit(hello("three"))
    work.git("tag", "v1")
    work.push("main", "refs/tags/v1")
    world.clone.git("tag", "--force", "v1", second)
    world.clone.git("push", "--quiet", "--force", "origin", "v1")
    synced = world.sync()
    assert synced.there == ("refs/heads/main",)
    (apart,) = synced.look.apart
    assert (apart.ref, apart.here, apart.there) == ("refs/tags/v1", ours, second)
    assert apart.resolve[1:] == (
        f"git fetch {world.upstream} +refs/tags/v1:refs/tags/v1",
        "git push http://weft.example:8080/git/default.git +refs/tags/v1:refs/tags/v1",
    )
    assert world.mirror.sync().look == synced.look


def test_a_restarted_mirror_remembers_what_both_sides_agreed_on(
    world: World, upstream: Path, work: Work
) -> None:
    world.push(HELLO)
    world.clone.git("tag", "v1")
    world.clone.git("push", "--quiet", "origin", "v1")
    world.sync()
    work.push(":refs/tags/v1")
    restarted = mirror_of(world.reconciler, upstream)
    assert restarted.has_news()
    assert restarted.sync().there == ("refs/tags/v1",)
    assert "refs/tags/v1" not in world.there()


def test_another_address_is_another_repository(world: World, upstream: Path, tmp_path: Path) -> None:
    """What was there and is not here must not be deleted for being unknown there."""
    world.push(HELLO)
    world.clone.git("tag", "v1")
    world.clone.git("push", "--quiet", "origin", "v1")
    world.sync()
    other = Repository.ensure(tmp_path / "other.git").path
    assert mirror_of(world.reconciler, other).sync().look.error is None
    assert Repository(other).refs() == world.here()


def test_a_ref_whose_name_is_not_utf8_is_skipped_and_said_and_the_rest_goes_on(
    world: World, upstream: Path
) -> None:
    head = world.push(HELLO)
    (upstream / "refs" / "heads" / os.fsdecode(b"caf\xe9")).write_text(f"{head}\n")
    (upstream / "refs" / "tags" / "-x").write_text(f"{head}\n")
    synced = world.sync()
    assert world.here() == {"refs/heads/main": head}
    assert world.live() == (1, "")
    assert [(one.ref, one.reason.split(".")[0]) for one in synced.look.skipped] == [
        ("refs/heads/caf\\xe9", "Its name is not UTF-8"),
        ("refs/tags/-x", "It has no valid name (see git check-ref-format)"),
    ]


def test_a_branch_that_points_to_no_commit_is_left_on_both_sides(world: World, upstream: Path) -> None:
    head = world.push(HELLO)
    world.clone.git("push", "--quiet", "origin", "main:side")
    world.sync()
    (upstream / "refs" / "heads" / "side").write_text(f"{world.clone.head('HEAD^{tree}')}\n")
    synced = world.sync()
    assert (synced.here, synced.there) == ((), ())
    assert [(one.ref, one.reason) for one in synced.look.skipped] == [
        ("refs/heads/side", "A branch must point to a commit.")
    ]
    assert world.here()["refs/heads/side"] == head


def test_a_ref_that_is_broken_there_holds_up_nothing_else(world: World, upstream: Path) -> None:
    world.push(HELLO)
    world.clone.git("push", "--quiet", "origin", "main:refs/heads/cut")
    world.sync()
    at = world.here()["refs/heads/cut"]
    head = world.push(hello("two"))
    (upstream / "refs" / "heads" / "cut").unlink()
    (upstream / "packed-refs").write_text(f"{at} refs/heads/cut short\n")
    (skipped,) = world.sync().look.skipped
    assert (skipped.ref, skipped.reason) == ("refs/heads/cut", "It is broken there: it points to nothing.")
    assert world.here() == {"refs/heads/main": head, "refs/heads/cut": at}


def test_a_branch_there_that_lacks_an_object_does_not_hold_up_what_is_live(
    world: World, upstream: Path
) -> None:
    world.push(HELLO)
    world.sync()
    world.clone.git("checkout", "--quiet", "-b", "broken")
    world.push({"notes": "nowhere else"}, "broken")
    blob = world.clone.git("rev-parse", "HEAD:notes")
    world.clone.git("checkout", "--quiet", "main")
    head = world.push(hello("two"))
    (upstream / "objects" / blob[:2] / blob[2:]).unlink()
    synced = world.mirror.sync()
    assert "these are not followed: refs/heads/broken" in str(synced.look.error)
    assert world.here() == {"refs/heads/main": head}
    assert world.live() == (2, "")
    world.act("hello", RollBack(to=1))
    assert world.mirror.sync().there == ("refs/heads/main",)
    world.clone.git("push", "--quiet", "origin", ":broken")
    world.sync()


def test_more_documents_than_there_may_be_are_not_followed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = world.push(HELLO)
    world.sync()
    monkeypatch.setattr("reconciler.snapshot.MOST_DOCUMENTS", 2)
    world.push({"patterns/other.yaml": pattern("other")})
    look = world.mirror.sync().look
    assert look.error is not None
    assert "document files. Split the repository." in look.error
    assert world.here() == {"refs/heads/main": head}
    assert world.live() == (1, "")


def test_a_branch_that_cannot_stand_beside_one_of_ours_is_skipped_and_the_rest_goes_on(
    world: World, work: Work
) -> None:
    world.push(HELLO)
    world.sync()
    work.git("fetch", "--quiet", str(world.bare), "main:side")
    work.push("side")
    world.clone.git("push", "--quiet", "origin", "main:side/deeper", "main:fine")
    synced = world.sync()
    assert "refs/heads/fine" in world.here()
    assert [one.ref for one in synced.look.skipped] == ["refs/heads/side/deeper"]
    (apart,) = synced.look.apart
    assert "The upstream refuses side: " in apart.reason


def test_a_crash_between_the_fetch_and_the_refs_heals_at_the_next_look(
    world: World, upstream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.push(HELLO)
    world.sync()
    world.push(hello("two"))

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("power cut")

    for place in (
        "reconciler.reconciler._move_each",
        "reconciler.reconciler.Reconciler._catch_up",
        "reconciler.upstream.mirror.remember",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, crash)
            with pytest.raises(RuntimeError, match="power cut"):
                mirror_of(world.reconciler, upstream).sync()
    assert mirror_of(world.reconciler, upstream).sync().look.error is None
    assert world.live() == (2, "")
    assert not world.mirror.has_news()


def test_a_crash_behind_a_push_does_not_take_the_tag_for_moved_there(
    world: World, upstream: Path, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = world.push(HELLO)
    world.push(hello("two"))
    world.clone.git("tag", "v1", first)
    world.clone.git("push", "--quiet", "origin", "v1")
    world.sync()
    work.git("pull", "--quiet", str(world.bare), "main")
    work.git("tag", "v1", "HEAD")
    work.push("refs/tags/v1")

    def pushed_and_died(remote: Remote, *arguments: object) -> None:
        push(remote, *arguments)  # type: ignore[arg-type]
        raise RuntimeError("power cut")

    push = Remote.push
    with monkeypatch.context() as patched:
        patched.setattr(Remote, "push", pushed_and_died)
        with pytest.raises(RuntimeError, match="power cut"):
            world.mirror.sync()
    work.push(":refs/tags/v1")
    assert mirror_of(world.reconciler, upstream).sync().look == world.mirror.sync().look
    assert "refs/tags/v1" not in {**world.here(), **world.there()}


def test_an_upstream_that_moves_between_look_and_push_is_looked_at_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.push({**HELLO, "patterns/other.yaml": pattern("other")})
    world.push(hello("two"))
    world.sync()
    world.act("hello", RollBack(to=1))
    push = Remote.push
    theirs: list[str] = []

    def moved_first(remote: Remote, *arguments: object) -> dict[str, str]:
        if not theirs:
            theirs.append(world.push({"patterns/other.yaml": pattern("other", "changed")}))
        return push(remote, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Remote, "push", moved_first)
    assert world.sync().look.apart == ()
    assert world.here() == world.there()
    assert Repository(world.bare).is_ancestor(theirs[0], world.here()["refs/heads/main"])


def test_what_the_upstream_refuses_is_said_and_does_not_hold_up_the_rest(
    world: World, upstream: Path, work: Work
) -> None:
    world.push(HELLO)
    world.sync()
    hook = upstream / "hooks" / "update"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\n[ "$1" != refs/heads/main ] || { echo "main is protected"; exit 1; }\n')
    hook.chmod(0o755)
    work.git("pull", "--quiet", str(world.bare), "main")
    head = work.commit(hello("two"))
    work.git("tag", "v1")
    work.push("main", "refs/tags/v1")
    synced = world.sync()
    assert synced.there == ("refs/tags/v1",)
    (apart,) = synced.look.apart
    assert isinstance(apart, Apart)
    assert (apart.ref, apart.here) == ("refs/heads/main", head)
    assert "The upstream refuses main: hook declined (main is protected)" in apart.reason
    hook.unlink()
    assert world.sync().there == ("refs/heads/main",)


def test_the_folder_of_the_repository_lost_comes_back_from_the_upstream(
    world: World, database: Database, tmp_path: Path, upstream: Path
) -> None:
    world.push(HELLO)
    world.push(hello("two"))
    world.sync()
    fresh = Reconciler(
        database, tmp_path / "new", installation_key=b"k" * 32, public_url="http://weft.example"
    )
    assert mirror_of(fresh, upstream).sync().look.error is None
    assert Repository(fresh.ensure("default")).refs() == world.there()
    assert world.live() == (2, "")
