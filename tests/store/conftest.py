from collections.abc import Iterator

import pytest
from store_rows import deploy

from store.database import Connection, Database


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, connections=4)
    yield database
    database.close()


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """A connection as the hot path has it, to a database with one active deployment."""
    connection = database.connect()
    deploy(connection, "order-intake", version="v1")
    yield connection
    connection.close()
