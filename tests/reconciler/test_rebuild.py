"""What a lost database gets back from Git alone."""

import pytest
from git_work import Work, deployment, pattern

from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from store.database import Database
from store.deployments import all_deployments
from store.versions import list_patterns, list_versions

LOST = "repositories, versions, assets, freezes, deployments, revisions"


def everything(database: Database) -> dict[str, object]:
    """What a rebuild must give back. Revisions start anew; actors and times of pushes are not in Git."""
    with database.connection() as connection:
        versions = {
            name: list_versions(connection, "default", name) for name in list_patterns(connection, "default")
        }
        live: dict[str, object] = {
            name: (found.pattern, found.environment, found.state, found.version, found.hook_token, found.spec)
            for name, found in all_deployments(connection, "default").items()
            if found.state != "undeployed"
        }
        contents = connection.execute(
            "SELECT id, pattern, content::text FROM versions ORDER BY id"
        ).fetchall()
        assets = connection.execute("SELECT id, content FROM assets ORDER BY id").fetchall()
    return {"versions": versions, "live": live, "contents": contents, "assets": assets}


def long_story(work: Work) -> None:
    """Versions, calls, assets, tags, branches, merges, reverts, things that came and went."""
    work.commit(
        {
            "scripts/a.py": "def main(x): return 1\n",
            "patterns/a.yaml": pattern("a", calls="b", script="scripts/a.py"),
            "patterns/b.yaml": pattern("b"),
            "deployments/a.yaml": deployment("a"),
        }
    )
    work.push()
    work.commit({"patterns/b.yaml": pattern("b", "two")})
    work.commit({"scripts/a.py": "def main(x): return 2\n", "deployments/gone.yaml": deployment("gone", "b")})
    work.push()
    work.git("revert", "--no-edit", "HEAD~1")
    work.git("rm", "--quiet", "deployments/gone.yaml")
    work.commit(
        {"deployments/seven.yaml": deployment("seven", "b", source="{version: 2}", variables="{x: 1.0}")}
    )
    work.push()
    work.git("tag", "b/production", "HEAD~2")
    work.git("branch", "side")
    work.commit(
        {
            "deployments/tagged.yaml": deployment("tagged", "b", source="{tag: b/production}"),
            "deployments/sided.yaml": deployment("sided", "b", source="{branch: side}"),
            "patterns/c.yaml": pattern("c", calls="b@2"),
            "deployments/old.yaml": deployment("old", "c"),
        }
    )
    work.push("main", "side", "refs/tags/b/production")
    work.commit({"deployments/old.yaml": deployment("old", "c", state="archived")})
    work.commit({"patterns/c.yaml": pattern("c", "after the archiving")})
    work.push()
    work.commit({"patterns/c.yaml": None})
    work.push()
    work.git("checkout", "--quiet", "side")
    work.commit({"patterns/b.yaml": pattern("b", "only on the side")})
    work.push("side")
    work.commit({"patterns/b.yaml": "kind: ["})
    work.push("side")
    work.git("checkout", "--quiet", "main")


def test_an_emptied_database_gets_the_same_versions_numbers_and_deployments(
    work: Work, database: Database
) -> None:
    long_story(work)
    before = everything(database)
    assert set(before["live"]) == {"a", "seven", "tagged", "sided", "old"}  # type: ignore[call-overload]
    with database.connection() as connection:
        connection.execute(f"TRUNCATE {LOST}".encode())
    fresh = Reconciler(
        database, work.bare.parent, installation_key=b"k" * 32, public_url="http://weft.example"
    )
    assert fresh.reconcile("default").changed
    assert everything(database) == before
    assert not fresh.reconcile("default").changed
    # The process that pushed notices that what it remembers is gone.
    work.commit({"patterns/b.yaml": pattern("b", "another")})
    assert not work.push().refused


def test_a_rebuild_of_what_is_whole_changes_nothing(work: Work, database: Database) -> None:
    long_story(work)
    before = everything(database)
    with database.connection() as connection:
        rows = all_deployments(connection, "default")
    work.reconciler.rebuild("default")
    assert everything(database) == before
    with database.connection() as connection:
        after = all_deployments(connection, "default")
    assert {name: (row.id, row.revision) for name, row in after.items()} == {
        name: (row.id, row.revision) for name, row in rows.items()
    }


def test_a_rebuild_that_fails_leaves_everything_as_it_was(
    work: Work, database: Database, monkeypatch
) -> None:
    long_story(work)
    before = everything(database)

    def broken(*_: object) -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        patched.setattr("reconciler.apply.notify_deployments", broken)
        with pytest.raises(RuntimeError, match="power cut"):
            work.reconciler.rebuild("default")
    assert everything(database) == before
    work.commit({"patterns/z.yaml": pattern("z")})
    assert work.push().lines == ("z  v1  frozen, not deployed",)


def test_what_got_in_behind_the_gate_comes_back_with_its_last_good_version(
    work: Work, database: Database
) -> None:
    work.commit({"patterns/a.yaml": pattern("a"), "deployments/a.yaml": deployment("a")})
    work.push()
    work.commit({"patterns/a.yaml": pattern("a", "two")})
    work.push()
    work.commit({"patterns/a.yaml": "kind: ["})
    update = work.update("main")
    work.transfer([update.new], work.bare / "objects")
    Repository(work.bare).update_refs([update])
    work.reconciler.reconcile("default")
    before = everything(database)
    with database.connection() as connection:
        found = all_deployments(connection, "default")["a"]
        assert (found.version.number, found.stalled, found.state) == (2, True, "active")
        connection.execute(f"TRUNCATE {LOST}".encode())
    work.reconciler.reconcile("default")
    assert everything(database) == before
