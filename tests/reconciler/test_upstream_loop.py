"""Who keeps the mirror, when it looks, and what it says of itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from eventually import eventually
from git_clone import Clone
from git_work import deployment, pattern

from reconciler.actions.authoring import Request
from reconciler.actions.requests import SetState
from reconciler.actor import Actor
from reconciler.git.repository import Repository
from reconciler.reconciler import Reconciler
from reconciler.upstream.loop import MirrorLoop, forget
from reconciler.upstream.mirror import Mirror, Synced
from reconciler.upstream.remote import Remote
from schemas.deployment import State
from store.database import Database
from store.deployments import get_deployment
from store.upstream import UpstreamState, ask_for_sync, upstream_state

HELLO: dict[str, str | bytes] = {
    "patterns/hello.yaml": pattern("hello"),
    "deployments/hello.yaml": deployment("hello"),
}
NEVER = 3600.0


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    return Repository.ensure(tmp_path / "upstream.git").path


@pytest.fixture
def clone(tmp_path: Path, upstream: Path) -> Clone:
    return Clone.new(tmp_path / "clone", str(upstream))


@contextmanager
def keeping(loop: MirrorLoop) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


class Looks:
    """The state that everybody can read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self) -> UpstreamState | None:
        with self._database.connection() as connection:
            return upstream_state(connection, "default")

    def known(self) -> UpstreamState:
        state = self.state()
        assert state is not None
        return state

    def is_live(self, number: int, state: str = "active") -> bool:
        with self._database.connection() as connection:
            found = get_deployment(connection, "default", "hello")
        return found is not None and (found.version and found.version.number, found.state) == (number, state)

    def ask(self) -> None:
        with self._database.connection() as connection:
            ask_for_sync(connection, "default")


def mirror_of(reconciler: Reconciler, upstream: Path) -> Mirror:
    return Mirror(reconciler, "default", Remote(str(upstream)), public_url="http://weft.example")


def test_it_looks_at_the_start_when_asked_and_when_something_moved_here(
    reconciler: Reconciler, database: Database, upstream: Path, clone: Clone
) -> None:
    looks = Looks(database)
    clone.commit(HELLO)
    clone.git("push", "--quiet", "origin", "main")
    with keeping(MirrorLoop(mirror_of(reconciler, upstream), database, every=NEVER)):
        eventually(lambda: looks.is_live(1))
        eventually(lambda: looks.state() is not None)
        clone.commit({"patterns/hello.yaml": pattern("hello", "two")})
        clone.git("push", "--quiet", "origin", "main")
        looks.ask()
        eventually(lambda: looks.is_live(2))
        pause = SetState(state=State.PAUSED)
        ada = Actor(user="ada")
        done = reconciler.act("default", Request(name="hello", action=pause, actor=ada))
        eventually(lambda: Repository(upstream).refs()["refs/heads/main"] == done.commit)


def test_it_looks_again_and_again(
    reconciler: Reconciler, database: Database, upstream: Path, clone: Clone
) -> None:
    looks = Looks(database)
    with keeping(MirrorLoop(mirror_of(reconciler, upstream), database, every=0.05)):
        eventually(lambda: looks.state() is not None)
        clone.commit(HELLO)
        clone.git("push", "--quiet", "origin", "main")
        eventually(lambda: looks.is_live(1))


def test_of_two_controllers_one_looks_and_the_other_goes_on_when_it_is_gone(
    reconciler: Reconciler, database: Database, upstream: Path
) -> None:
    first, second = CountingMirror(reconciler, upstream), CountingMirror(reconciler, upstream)
    leading, standing_by = ExitStack(), keeping(MirrorLoop(second, database, every=0.01))
    with leading:
        leading.enter_context(keeping(MirrorLoop(first, database, every=0.01)))
        eventually(lambda: first.looks > 0)
        with standing_by:
            before = first.looks
            Looks(database).ask()
            eventually(lambda: first.looks > before + 10)
            assert second.looks == 0
            leading.close()
            eventually(lambda: second.looks > 0)


class CountingMirror(Mirror):
    def __init__(self, reconciler: Reconciler, upstream: Path) -> None:
        super().__init__(reconciler, "default", Remote(str(upstream)), public_url="http://weft.example")
        self.looks = 0

    def sync(self) -> Synced:
        self.looks += 1
        return super().sync()


def test_an_unreachable_upstream_says_since_when_and_why_and_is_logged_once(
    reconciler: Reconciler, database: Database, upstream: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    looks = Looks(database)
    away = upstream.rename(upstream.with_name("away.git"))
    with keeping(MirrorLoop(mirror_of(reconciler, upstream), database, every=0.01)):
        eventually(lambda: looks.state() is not None)
        first = looks.known()
        assert first.look.error is not None
        assert first.look.error.startswith(f"{upstream} cannot be read: ")
        assert first.failing_since is not None
        assert first.failing_since <= first.looked_at
        assert first.synced_at is None
        eventually(lambda: looks.known().looked_at > first.looked_at)
        assert looks.known().failing_since == first.failing_since
        away.rename(upstream)
        eventually(lambda: looks.known().look.error is None)
        back = looks.known()
        assert back.failing_since is None
        assert back.synced_at == back.looked_at
    said = [record.message for record in caplog.records if record.message.startswith("upstream_")]
    assert said == ["upstream_failing", "upstream_back"]


def test_what_was_said_of_an_upstream_is_forgotten_when_there_is_none_any_more(
    reconciler: Reconciler, database: Database, upstream: Path
) -> None:
    looks = Looks(database)
    with keeping(MirrorLoop(mirror_of(reconciler, upstream), database, every=NEVER)):
        eventually(lambda: looks.state() is not None)
    forget(database, "default", threading.Event())
    assert looks.state() is None
