"""Pushes that die half way, pushes at once, processes that know different things."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from git_work import Work, deployment, pattern

from reconciler.controller import Outcome, ReconcileLoop
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler, RepositoryLostError
from store.database import Database
from store.deployments import all_deployments, get_deployment
from store.repositories import repository_state
from store.versions import numbers

HELLO = {"patterns/hello.yaml": pattern("hello"), "deployments/hello.yaml": deployment("hello")}


def another(work: Work, database: Database) -> Reconciler:
    """A second process with the same data and no memory."""
    return Reconciler(
        database, work.bare.parent, installation_key=b"k" * 32, public_url="http://weft.example"
    )


def move_only(work: Work) -> str:
    """What is left of a push that died behind its refs."""
    update = work.update("main")
    work.transfer([update.new], work.bare / "objects")
    Repository(work.bare).update_refs([update])
    return update.new


def live_number(database: Database, name: str = "hello") -> int | None:
    with database.connection() as connection:
        found = get_deployment(connection, "default", name)
    return found.version.number if found and found.version else None


def test_a_push_that_died_between_refs_and_database_is_finished_by_the_loop(
    work: Work, database: Database
) -> None:
    work.commit(HELLO)
    work.push()
    work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    head = move_only(work)
    assert live_number(database) == 1
    loop = ReconcileLoop(another(work, database), database)
    loop.tick(now=0.0)
    assert live_number(database) == 2
    assert loop.turns["default"].outcome == Outcome.READY
    with database.connection() as connection:
        state = repository_state(connection, "default")
    assert state is not None
    assert (state.tried_commit, state.applied_commit) == (head, head)
    loop.tick(now=31.0)
    with database.connection() as connection:
        assert repository_state(connection, "default") == state


def test_the_next_push_finishes_it_as_well(work: Work, database: Database) -> None:
    work.commit(HELLO)
    work.push()
    work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    move_only(work)
    work.commit({"patterns/other.yaml": pattern("other")})
    assert work.push().lines == ("other  v1  frozen, not deployed",)
    assert live_number(database) == 2


def test_a_database_that_fails_in_the_middle_writes_nothing_and_says_so(
    work: Work, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.commit(HELLO)
    work.push()
    work.commit({"patterns/hello.yaml": pattern("hello", "two")})

    def broken(*_: object) -> None:
        raise psycopg.OperationalError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("reconciler.apply.notify_deployments", broken)
        outcome = work.push()
    assert outcome.refused == {}
    assert outcome.lines == (
        "pushed, but not live yet: the database says the disk is full; it is tried again within half a minute",
    )
    assert live_number(database) == 1
    assert work.reconciler.reconcile("default").changed
    assert live_number(database) == 2
    assert not work.reconciler.reconcile("default").changed


def test_processes_that_take_turns_agree(work: Work, database: Database) -> None:
    work.commit(HELLO)
    work.push()
    first, second = work.reconciler, another(work, database)
    for turn in range(6):
        work.reconciler = second if turn % 2 else first
        work.commit({"patterns/hello.yaml": pattern("hello", f"turn {turn}")})
        assert work.push().lines[0].startswith(f"hello  v{turn + 1} → v{turn + 2}  live in")
    with database.connection() as connection:
        assert len(numbers(connection, "default")["hello"]) == 7


def test_pushes_at_once_neither_interleave_nor_get_lost(
    work: Work, database: Database, tmp_path: Path
) -> None:
    work.commit(HELLO)
    work.push()
    clones = []
    for n in range(6):
        clone = Work(tmp_path / f"clone{n}", another(work, database) if n % 2 else work.reconciler)
        clone.git("pull", "--quiet", str(work.bare), "main")
        clones.append(clone)

    def hammer(n: int) -> None:
        clone = clones[n]
        clone.commit({f"patterns/p{n}.yaml": pattern(f"p{n}"), f"deployments/p{n}.yaml": deployment(f"p{n}")})
        while clone.push().refused:
            clone.git("pull", "--quiet", "--rebase", str(clone.bare), "main")

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(hammer, range(6)))
    with database.connection() as connection:
        live = all_deployments(connection, "default")
        state = repository_state(connection, "default")
    assert sorted(live) == ["hello", *(f"p{n}" for n in range(6))]
    assert all(found.state == "active" for found in live.values())
    assert state is not None
    assert state.applied_commit == Repository(work.bare).refs()["refs/heads/main"]
    line, _ = Repository(work.bare).first_parents(state.applied_commit, None)
    assert len(line) == 7


def test_a_lost_repository_undeploys_nothing(work: Work, database: Database) -> None:
    work.commit(HELLO)
    work.push()
    work.bare.rename(work.bare.with_name("lost"))
    reconciler = another(work, database)
    loop = ReconcileLoop(reconciler, database)
    loop.tick(now=0.0)
    assert loop.turns["default"].outcome == Outcome.STALLED
    reconciler.ensure("default")
    with pytest.raises(RepositoryLostError, match="restore the folder"):
        reconciler.reconcile("default")
    assert live_number(database) == 1


def test_a_lost_repository_comes_back_by_a_push_of_what_was_live(work: Work, database: Database) -> None:
    base = work.commit(HELLO)
    live = work.commit({"patterns/hello.yaml": pattern("hello", "two")})
    work.push()
    work.bare.rename(work.bare.with_name("lost"))
    work.reconciler = another(work, database)
    work.reconciler.ensure("default")
    work.git("reset", "--quiet", "--hard", base)
    assert f"{live[:10]} is live and lost here" in work.push().refused["refs/heads/main"]
    work.git("reset", "--quiet", "--hard", live)
    work.commit({"patterns/other.yaml": pattern("other")})
    assert work.push().lines == ("other  v1  frozen, not deployed",)
    assert live_number(database) == 2
    assert not work.reconciler.reconcile("default").changed


def test_the_loop_retries_what_does_not_answer_later_and_later(database: Database, tmp_path: Path) -> None:
    class Away:
        def organisations(self) -> list[str]:
            return ["default"]

        def reconcile(self, organisation: str) -> None:
            from store.database import StoreUnavailable

            raise StoreUnavailable("away")

    loop = ReconcileLoop(Away(), database, every=5.0)  # type: ignore[arg-type]
    now, pauses = 0.0, []
    for _ in range(5):
        loop.tick(now)
        turn = loop.turns["default"]
        pauses.append(turn.due - now)
        now = turn.due
    assert turn.outcome == Outcome.WAITING
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0]
