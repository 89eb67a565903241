import itertools
from collections.abc import Iterator

import pytest
import redis
from databases import new_database
from http_site import Sender, Site, sending, serving
from running import Running, sweeper, worker

from cli.embedded.postgres import Postgres
from cli.embedded.valkey import Valkey
from runner.nodes.http import HttpNode
from store.database import Database


@pytest.fixture
def running(database_url: str, redis_url: str) -> Iterator[Running]:
    """A database and a broker of the test's own, without anybody who works."""
    database = Database(database_url, connections=8)
    yield Running(database, redis_url)
    database.close()


_brokers = itertools.count(1)


@pytest.fixture(scope="module")
def service(postgres: Postgres, migrated: str, valkey: Valkey) -> Iterator[Running]:
    """With a worker and a sweeper, shared by the tests of a file: they begin and end slowly."""
    with new_database(postgres, migrated) as url:
        # Another of the broker's databases than `redis_url` empties.
        broker = f"{valkey.url}?db={next(_brokers)}"
        with redis.Redis.from_url(broker) as client:
            client.flushdb()
        database = Database(url, connections=8)
        running = Running(database, broker)
        with worker(running), sweeper(running):
            yield running
        database.close()


# Of the tests of `http`


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def other() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture(scope="module")
def node() -> Iterator[HttpNode]:
    with sending() as sender:
        yield sender.node


@pytest.fixture
def send(node: HttpNode) -> Sender:
    """One node for all tests of a file; where what it keeps would tell in the next, the file makes its own."""
    return Sender(node)
