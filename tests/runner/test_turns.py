"""`maxConcurrent`: never more nodes at a connection than it allows, as the other side sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from counting import Counting, counting
from running import Running, worker

from schemas.connection import Limit, counted_in
from store import leases, turns
from store.connections import write_connections
from store.database import Connection
from store.ids import new_id
from store.turns import Turn

SECONDS = 0.05


@pytest.fixture
def site() -> Iterator[Counting]:
    with counting(SECONDS) as made:
        yield made


def connect(running: Running, site: Counting, **spec: Any) -> None:
    with running.database.connection() as connection:
        given = {"type": "http", "url": site.url, **spec}
        write_connections(connection, "default", {"slow": given}, commit="c1")


def asks(name: str = "ask", **node: Any) -> dict[str, Any]:
    return {"id": name, "uses": "http", "with": {"connection": "slow"}, "retry": {"attempts": 1}, **node}


def deploy(running: Running, site: Counting, name: str, nodes: list[dict[str, Any]], **more: Any) -> None:
    running.deploy(name, nodes, project={"network": {"allow": [f"127.0.0.1:{site.port}"]}}, **more)


def rows(running: Running) -> int:
    with running.database.connection() as connection:
        return connection.execute("SELECT FROM turns").rowcount


def test_no_more_than_so_many_at_one_time_and_all_of_them_in_use(running: Running, site: Counting) -> None:
    connect(running, site, maxConcurrent=3)
    deploy(running, site, "p", [asks()])
    with worker(running), worker(running):
        running.run("p")
        runs = [running.start("p") for _ in range(40)]
        ended = [running.wait(run) for run in runs]
    assert {run["status"] for run in ended} == {"completed"}
    assert site.most == 3
    assert rows(running) == 0
    log = [line for run in runs for line in running.spans(run)["ask"]["log"] or ()]
    assert any(line["message"] == "waits for its turn at slow: 3 at once use it" for line in log)


def test_branches_of_one_run_take_turns_too(running: Running, site: Counting) -> None:
    connect(running, site, maxConcurrent=2)
    nodes = [asks(f"n{number}", needs=[]) for number in range(8)]
    deploy(running, site, "p", nodes)
    with worker(running):
        assert running.run("p")["status"] == "completed"
    assert site.most == 2


def test_without_the_key_nobody_waits_and_nothing_is_written(running: Running, site: Counting) -> None:
    connect(running, site)
    deploy(running, site, "p", [asks(f"n{number}", needs=[]) for number in range(8)])
    with worker(running):
        assert running.run("p")["status"] == "completed"
    assert site.most > 2
    with running.database.connection() as connection:
        row = connection.execute("SELECT nextval(pg_get_serial_sequence('turns', 'id'))").fetchone()
    assert row == (1,)


def test_whoever_waits_too_long_or_is_cancelled_leaves_the_line(running: Running, site: Counting) -> None:
    site.seconds = 1.0
    connect(running, site, maxConcurrent=1)
    deploy(running, site, "p", [asks()])
    running.deploy("hurried", [asks(timeout="200ms")])
    with worker(running):
        first = running.start("p")
        while not site.here:
            time.sleep(0.01)
        hurried, patient = running.start("hurried"), running.start("p")
        error = running.wait(hurried)["error"]
        assert (error["type"], "its turn did not come" in error["message"]) == ("timeout", True)
        assert "maxConcurrent" in error["hint"]
        with running.database.connection() as connection:
            connection.execute("UPDATE runs SET cancelled = true WHERE id = %s", [patient])
            connection.execute("SELECT pg_notify('weft_cancelled', %s)", [patient])
        assert running.wait(patient, seconds=0.9)["status"] == "cancelled"
        assert running.wait(first)["status"] == "completed"
        assert running.run("p")["status"] == "completed"
    assert site.served == 2
    assert rows(running) == 0


def test_an_environment_counts_for_itself_where_it_has_its_own() -> None:
    spec = {
        "url": "https://a",
        "maxConcurrent": 5,
        "environments": {
            "staging": {"url": "https://b"},
            "few": {"maxConcurrent": 1},
            "named": {"user": "x"},
        },
    }
    found = {name: counted_in(spec, name) for name in ("production", "staging", "few", "named")}
    assert found == {"production": "", "staging": "staging", "few": "few", "named": ""}


# The line, as the database has it


LIMIT = Limit(organisation="default", connection="slow", environment="", most=1)


def begin(running: Running, connection: Connection) -> tuple[str, int]:
    run = running.start("p", ring=False)
    [claimed] = leases.claim(connection, "w", [run])
    return run, claimed.lease


def taken(connection: Connection, turn: Turn) -> bool:
    asked = turns.ask(connection, LIMIT, turn)
    assert asked is not None
    return asked.taken


def test_first_come_first_served_and_what_died_counts_no_more(running: Running) -> None:
    running.deploy("p", [{"id": "a", "uses": "set", "with": {}}])
    with running.database.connection() as connection:
        held = [begin(running, connection) for _ in range(4)]
        line: list[Turn] = []
        for run, lease in held:
            with connection.transaction():
                line.append(Turn(token=new_id(), run=run, lease=lease))
                assert taken(connection, line[-1]) is (len(line) == 1)
        assert taken(connection, line[0]), "who asks again gets no second one"
        with connection.transaction():
            assert turns.give_back(connection, LIMIT, line[0].token) == [line[1].token]
        # The worker that holds it dies, and the one that is next in line: whoever looks is let in.
        connection.execute(
            "UPDATE runs SET lease = lease + 1 WHERE id = ANY(%s)", [[run for run, _ in held[1:3]]]
        )
        with connection.transaction():
            assert taken(connection, line[3])
            assert turns.ask(connection, LIMIT, line[1]) is None
        assert connection.execute("SELECT FROM turns").rowcount == 1


def test_asking_from_many_sides_at_once_grants_no_more(running: Running) -> None:
    running.deploy("p", [{"id": "a", "uses": "set", "with": {}}])
    limit = Limit(organisation="default", connection="slow", environment="", most=2)
    with running.database.connection() as connection:
        held = [begin(running, connection) for _ in range(8)]
    answers: list[bool] = []

    def ask(run: str, lease: int) -> None:
        with running.database.transaction() as connection:
            asked = turns.ask(connection, limit, Turn(token=new_id(), run=run, lease=lease))
            answers.append(asked is not None and asked.taken)

    threads = [threading.Thread(target=ask, args=one) for one in held]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 6 + [True] * 2
