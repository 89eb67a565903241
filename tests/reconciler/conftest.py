from collections.abc import Iterator
from pathlib import Path

import pytest
from git_work import Work

from reconciler.reconciler import Reconciler
from store.database import Database, migrate

KEY = b"k" * 32


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    migrate(database_url)
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
