"""What every test may use: a real PostgreSQL and a real Valkey, one of each for the session.

- `database_url`: a database of its own for the test, migrated and without rows, dropped after it.
- `redis_url`: the session's broker, emptied before the test.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import pytest
import redis
from databases import new_database
from memory import use_memory

from cli.embedded.child import Service, stop
from cli.embedded.postgres import Postgres, open_postgres
from cli.embedded.valkey import Valkey, open_valkey
from store.database import migrate

# The files that start a service or make an environment take longest: begun last, they would end alone.
LONGEST_FIRST = ("end_to_end", "tests", "cli", "web", "reconciler", "runner")


def pytest_configure(config: pytest.Config) -> None:
    use_memory()
    config.option.loadscopereorder = False  # of pytest-xdist, which would begin with the files of most tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places)))


@pytest.fixture(scope="session")
def services_folder() -> Iterator[Path]:
    """A short folder that PostgreSQL's own user can enter when the tests run as root, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="weft-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


S = TypeVar("S", bound=Service)


def _running(service: S) -> Iterator[S]:
    process = service.spawn()
    try:
        service.wait_ready(process)
        yield service
    finally:
        stop(process, service.stop_signal)


@pytest.fixture(scope="session")
def postgres(services_folder: Path) -> Iterator[Postgres]:
    """The session's PostgreSQL (it may forget on a power cut, which makes it fast)."""
    yield from _running(open_postgres(services_folder, durable=False))


@pytest.fixture(scope="session")
def valkey(services_folder: Path) -> Iterator[Valkey]:
    """The session's broker."""
    yield from _running(open_valkey(services_folder))


@pytest.fixture(scope="session")
def migrated(postgres: Postgres) -> Iterator[str]:
    """The name of a database with the schema and without rows: copying it is quicker than migrating another."""
    with new_database(postgres) as url:
        migrate(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def database_url(postgres: Postgres, migrated: str) -> Iterator[str]:
    """A migrated database without rows, for this test alone; dropped after it, connections or not."""
    with new_database(postgres, migrated) as url:
        yield url


@pytest.fixture
def unmigrated_database_url(postgres: Postgres) -> Iterator[str]:
    """An empty database for this test alone."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """The session's broker, empty."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushdb()
    return valkey.url
