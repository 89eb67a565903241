"""A listener hears at once, hears of every loss, and stops at once."""

import queue
import time
from collections.abc import Iterator

import pytest

from store.database import Database
from store.notifications import Listener


@pytest.fixture
def heard() -> "queue.Queue[str]":
    return queue.Queue()


@pytest.fixture
def listener(database: Database, heard: "queue.Queue[str]") -> Iterator[Listener]:
    listener = Listener(database, {"news": heard.put}, lambda: heard.put("refresh"))
    listener.start()
    assert heard.get(timeout=5) == "refresh"
    assert listener.connected.wait(5)
    yield listener
    listener.stop()


def tell(database: Database, text: str) -> None:
    with database.connection() as connection:
        connection.execute("SELECT pg_notify('news', %s)", [text])


@pytest.mark.usefixtures("listener")
def test_what_is_told_is_heard_at_once_and_in_order(database: Database, heard: "queue.Queue[str]") -> None:
    for number in range(20):
        told = time.monotonic()
        tell(database, f"{number}")
        tell(database, f"{number} again")
        assert [heard.get(timeout=5), heard.get(timeout=5)] == [f"{number}", f"{number} again"]
        assert time.monotonic() - told < 0.5


@pytest.mark.usefixtures("listener")
def test_after_a_lost_connection_it_looks_for_itself_and_hears_again(
    database: Database, heard: "queue.Queue[str]"
) -> None:
    with database.connection() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
    assert heard.get(timeout=5) == "refresh"
    tell(database, "again")
    assert heard.get(timeout=5) == "again"


def test_it_stops_at_once(listener: Listener) -> None:
    time.sleep(0.1)  # until it waits
    asked = time.monotonic()
    listener.stop()
    assert time.monotonic() - asked < 0.5


def test_it_stops_at_once_while_the_database_is_away(
    unmigrated_database_url: str, heard: "queue.Queue[str]", caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(unmigrated_database_url.replace("?", "_that_is_not_there?"), connections=1)
    listener = Listener(database, {"news": heard.put}, lambda: heard.put("refresh"))
    listener.start()
    deadline = time.monotonic() + 5
    while "notifications_lost" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    asked = time.monotonic()
    listener.stop()
    assert time.monotonic() - asked < 0.5
    database.close()
