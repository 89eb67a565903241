from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from git_work import Work, pattern

from reconciler.reconciler import Reconciler
from store.database import Database
from store.deployments import Deployment, get_deployment

KEY = b"k" * 32


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, connections=6)
    yield database
    database.close()


@pytest.fixture
def reconciler(database: Database, tmp_path: Path) -> Reconciler:
    return Reconciler(database, tmp_path / "git", installation_key=KEY, public_url="http://127.0.0.1:8080")


@pytest.fixture
def work(tmp_path: Path, reconciler: Reconciler) -> Work:
    """A clone whose pushes go through the reconciler."""
    return Work(tmp_path / "work", reconciler)


@pytest.fixture
def live(database: Database) -> Callable[..., Deployment]:
    """Reads a deployment, `hello` unless told otherwise."""

    def read(name: str = "hello") -> Deployment:
        with database.connection() as connection:
            found = get_deployment(connection, "default", name)
        assert found is not None
        return found

    return read


@pytest.fixture
def history(work: Work) -> list[str]:
    """Three pushed commits: hello v1, v2, v3."""
    texts = ("one", "two", "three")
    commits = [work.commit({"patterns/hello.yaml": pattern("hello", text)}, text) for text in texts]
    work.push()
    return commits
