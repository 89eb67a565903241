from collections.abc import Iterator

import pytest
from running import Running, sweeper, worker

from store.database import Database, migrate


@pytest.fixture
def running(database_url: str, redis_url: str) -> Iterator[Running]:
    """A database and a broker without anybody who works."""
    migrate(database_url)
    database = Database(database_url, connections=8)
    yield Running(database, redis_url)
    database.close()


@pytest.fixture
def service(running: Running) -> Iterator[Running]:
    """With a worker and a sweeper."""
    with worker(running), sweeper(running):
        yield running
