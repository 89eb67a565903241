"""The `sql` node against real databases: PostgreSQL, MariaDB, and files of SQLite."""

from __future__ import annotations

import socket
import sqlite3
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from certificates import own_certificate
from databases import new_database
from http_site import raw_server
from mariadb import MariaDB, mariadb
from node_contexts import GivenConnections, node_context
from tcp_door import TcpDoor, tcp_door

from cli.embedded.postgres import Postgres
from runner.nodes.base import NodeError
from runner.nodes.sql import SqlNode
from schemas.errors import ERROR_TYPES, is_a

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
# MariaDB ends a recursion by itself.
ENDLESS_IN_MYSQL = "SELECT count(*) FROM seq_1_to_1000000 AS a, seq_1_to_1000000 AS b"


@dataclass
class Asked:
    """A database that a connection names. `spec` may be changed between two statements."""

    node: SqlNode
    spec: dict[str, Any]
    door: TcpDoor | None = None

    def __call__(self, query: str, params: Any = None, **around: Any) -> Any:
        inputs = {"connection": "db", "query": query} | ({} if params is None else {"params": params})
        if "rows" in around:
            inputs["maxRows"] = around.pop("rows")
        connections = GivenConnections({"db": self.spec, "web": {"type": "http", "url": "http://x"}})
        inputs["connection"] = around.pop("connection", "db")
        return self.node(node_context(connections, **around), inputs)

    def error(self, query: str, params: Any = None, **around: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(query, params, **around)
        assert caught.value.type in ERROR_TYPES
        return caught.value

    @property
    def endless(self) -> str:
        return ENDLESS_IN_MYSQL if self.spec["type"] == "mysql" else ENDLESS

    def value(self, expression: str, params: Any = None) -> Any:
        return self(f"SELECT {expression} AS value", params)["rows"][0]["value"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "databases"


@pytest.fixture
def node(folder: Path) -> Iterator[SqlNode]:
    made = SqlNode(folder)
    yield made
    made.close()


@pytest.fixture(scope="module")
def warehouse(postgres: Postgres) -> Iterator[str]:
    """The address of a database of this file's own."""
    with new_database(postgres) as url:
        yield url


@pytest.fixture
def postgresql(node: SqlNode, warehouse: str) -> Iterator[Asked]:
    parts = urlsplit(warehouse)
    with tcp_door(f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432") as door:
        spec = {"type": "postgresql", "url": f"postgresql://localhost:{door.port}{parts.path}"}
        yield Asked(node, {**spec, "user": parts.username, "password": "not needed"}, door)
        node.close()
    with psycopg.connect(warehouse, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def maria(certificate: Path) -> Iterator[MariaDB]:
    with mariadb(certificate) as made:
        yield made


@pytest.fixture
def mysql(node: SqlNode, maria: MariaDB) -> Iterator[Asked]:
    spec = {"type": "mysql", "url": f"mysql://localhost:{maria.port}/shop?sslmode=disable", "user": "weft"}
    yield Asked(node, {**spec, "password": maria.password})
    node.close()
    with maria.connect() as connection, connection.cursor() as cursor:
        cursor.execute("DROP DATABASE shop")
        cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")


@pytest.fixture
def sqlite(node: SqlNode) -> Asked:
    return Asked(node, {"type": "sqlite", "url": "sqlite:///shop/orders.db"})


KINDS = ("postgresql", "mysql", "sqlite")


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest) -> Asked:
    asked: Asked = request.getfixturevalue(request.param)
    return asked


# What it gives


def test_rows_come_as_mappings_and_changes_as_their_number(database: Asked) -> None:
    made = database("CREATE TABLE orders (id integer PRIMARY KEY, name varchar(50))")
    assert made == {"rows": [], "rowCount": 0}
    insert = "INSERT INTO orders (id, name) VALUES (:id, :name)"
    assert database(insert, {"id": 1, "name": "ä '; DROP TABLE orders; --"}) == {"rows": [], "rowCount": 1}
    assert database("INSERT INTO orders VALUES (:1, :2), (:3, :2)", [2, "b", 3])["rowCount"] == 2
    assert database("SELECT * FROM orders WHERE id < :most ORDER BY id", {"most": 3}) == {
        "rows": [{"id": 1, "name": "ä '; DROP TABLE orders; --"}, {"id": 2, "name": "b"}],
        "rowCount": 2,
    }
    assert database("UPDATE orders SET name = NULL WHERE id > 1")["rowCount"] == 2
    assert database("DELETE FROM orders WHERE id = :id RETURNING id", {"id": 1})["rows"] == [{"id": 1}]
    assert database(
        "SELECT 1 AS one WHERE 1 = 2" if database.spec["type"] != "mysql" else "SELECT 1 FROM orders WHERE 0"
    ) == {
        "rows": [],
        "rowCount": 0,
    }


def test_percent_signs_and_colons_are_what_they_are(database: Asked) -> None:
    assert database.value("'100% \\:x'") == "100% :x"
    assert database.value("10 % 4") == 2
    assert database.value("'50%s'", None) == "50%s"


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1::bigint", 1),
        ("1.5::numeric", 1.5),
        ("5.00::numeric(10,2)", 5.0),
        ("12345678901234567890::numeric", "12345678901234567890"),
        ("0.1234567890123456789::numeric", "0.1234567890123456789"),
        ("'NaN'::float", "NaN"),
        ("'infinity'::float", "Infinity"),
        ("true", True),
        ("null::text", None),
        ("date '2026-02-03'", "2026-02-03"),
        ("timestamp '2026-02-03 04:05:06.7'", "2026-02-03T04:05:06.700000"),
        ("timestamptz '2026-02-03 04:05:06+02'", "2026-02-03T02:05:06Z"),
        ("interval '90 minutes'", 5400.0),
        ("'\\x00ff'::bytea", "AP8="),
        ("'6c0e1a3c-0000-4000-8000-000000000000'::uuid", "6c0e1a3c-0000-4000-8000-000000000000"),
        ("'{\"a\": [1, 2.5, null]}'::jsonb", {"a": [1, 2.5, None]}),
        ("array[1, 2]", [1, 2]),
        ("inet '10.0.0.1/32'", "10.0.0.1"),
    ],
)
def test_what_postgresql_gives_becomes_json(postgresql: Asked, expression: str, value: Any) -> None:
    given = postgresql.value(expression.replace(": [", "\\: ["))
    assert (given, type(given)) == (value, type(value))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("CAST(1.50 AS DECIMAL(10,2))", 1.5),
        ("CAST(18446744073709551615 AS UNSIGNED)", "18446744073709551615"),
        ("TIMESTAMP '2026-02-03 04:05:06'", "2026-02-03T04:05:06"),
        ("DATE '2026-02-03'", "2026-02-03"),
        ("TIME '01:30:00'", 5400.0),
        ("UNHEX('00FF')", "AP8="),
        ("'Größe ✓ 😀'", "Größe ✓ 😀"),
    ],
)
def test_what_mysql_gives_becomes_json(mysql: Asked, expression: str, value: Any) -> None:
    assert mysql.value(expression) == value


def test_lists_and_mappings_are_arrays_and_json(postgresql: Asked, mysql: Asked, sqlite: Asked) -> None:
    assert postgresql.value("2 = ANY(:ids)", {"ids": [1, 2]}) is True
    assert postgresql.value(":doc", {"doc": {"a": [1]}}) == {"a": [1]}
    assert postgresql.value(":docs", {"docs": [{"a": 1}, 2]}) == [{"a": 1}, 2]
    assert mysql.value("JSON_VALUE(:doc, '$.a')", {"doc": {"a": 7}}) == "7"
    assert sqlite("SELECT value FROM json_each(:ids)", {"ids": [1, 2]})["rows"] == [
        {"value": 1},
        {"value": 2},
    ]


# What it takes


@pytest.mark.parametrize(
    ("query", "params", "reason"),
    [
        ("SELECT :a", {}, "has no value for it"),
        ("SELECT :a", None, "has no value for it"),
        ("SELECT :a", {"a": 1, "b": 2}, "has no :b"),
        ("SELECT :1", [1, 2], "has no :2"),
        ("SELECT 1 AS a, 2 AS a", None, "two columns 'a'"),
        ("SELECT 1", "x", "must be a mapping or a list"),
    ],
)
def test_query_and_params_have_to_fit(sqlite: Asked, query: str, params: Any, reason: str) -> None:
    error = sqlite.error(query, params)
    assert (error.type, error.retryable) == ("bad_query", False)
    assert reason in error.message


@pytest.mark.parametrize("most", [0, 100_001, True, "7", 1.5])
def test_max_rows_has_its_bounds(sqlite: Asked, most: Any) -> None:
    assert "maxRows" in sqlite.error("SELECT 1", rows=most).message


def test_too_many_rows_are_an_error_and_change_nothing(database: Asked) -> None:
    database("CREATE TABLE t (n integer)")
    database("INSERT INTO t VALUES (1), (2), (3)")
    error = database.error("SELECT n FROM t", rows=2)
    assert (error.type, error.retryable) == ("too_many_rows", False)
    assert "LIMIT" in error.hint
    if database.spec["type"] != "mysql":
        assert database.error("UPDATE t SET n = 0 RETURNING n", rows=2).type == "too_many_rows"
    assert database("SELECT sum(n) AS n FROM t")["rows"] == [{"n": 6}]
    assert database("SELECT n FROM t", rows=3)["rowCount"] == 3


def test_of_a_large_table_only_what_is_asked_for_is_read(postgresql: Asked, mysql: Asked) -> None:
    many = {
        "postgresql": "SELECT repeat('x', 10000) AS x FROM generate_series(1, 100000)",
        "mysql": "SELECT repeat('x', 10000) AS x FROM seq_1_to_100000",
    }
    for database in (postgresql, mysql):
        started = time.monotonic()
        assert database.error(many[database.spec["type"]], rows=10).type == "too_many_rows"
        assert time.monotonic() - started < 1.5


# How it fails


@pytest.mark.parametrize("streamed", [True, False])
def test_few_rows_may_be_too_large_as_well(postgresql: Asked, streamed: bool) -> None:
    query = "SELECT repeat('x', 1000000) AS text FROM generate_series(1, 400)"
    if not streamed:
        postgresql("CREATE TABLE texts (text text)")
        query = "INSERT INTO texts SELECT repeat('x', 1000000) FROM generate_series(1, 20) RETURNING text"
    tracemalloc.start()
    try:
        error = postgresql.error(query, timeout=30)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (error.type, error.retryable) == ("output_too_large", False)
    assert peak < 200e6
    if not streamed:
        assert postgresql("SELECT count(*) AS n FROM texts")["rows"] == [{"n": 0}]


@pytest.mark.parametrize("depth", [950, 5000])
def test_a_value_nested_too_deeply_is_an_error_of_its_statement(postgresql: Asked, depth: int) -> None:
    error = postgresql.error(f"SELECT (repeat('[', {depth}) || repeat(']', {depth}))::json AS value")
    assert (error.type, error.retryable) == ("sql_error", False)
    assert postgresql.value("1") == 1


def test_no_value_of_a_file_is_larger_than_an_output_may_be(sqlite: Asked) -> None:
    assert sqlite.error("SELECT zeroblob(900000000) AS value").message.endswith("too big")
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 900)"
    assert sqlite.error(f"{numbers} SELECT zeroblob(1000000) FROM n").type == "output_too_large"


def test_the_servers_message_is_told_without_the_values(database: Asked) -> None:
    database("CREATE TABLE t (name varchar(50) PRIMARY KEY)")
    database("INSERT INTO t VALUES (:name)", {"name": "hunter2"})
    error = database.error("INSERT INTO t VALUES (:name)", {"name": "hunter2"})
    assert (error.type, error.retryable) == ("sql_error", False)
    assert "hunter2" not in error.message
    assert error.message.startswith("db: ")
    assert "SELEC" in database.error("SELEC 1").message
    assert is_a("sql_error", ["sql"])


def test_what_fails_leaves_nothing_behind(database: Asked) -> None:
    database("CREATE TABLE t (n integer PRIMARY KEY)")
    database.error("INSERT INTO t VALUES (1), (2), (1)")
    assert database("SELECT * FROM t")["rows"] == []


def test_a_statement_has_as_long_as_its_node(database: Asked) -> None:
    started = time.monotonic()
    error = database.error(database.endless, timeout=0.4)
    assert (error.type, error.retryable) == ("timeout", True)
    assert time.monotonic() - started < 1.5
    assert database.value("1") == 1


def test_a_cancelled_run_ends_its_statement_on_the_server(
    database: Asked, maria: MariaDB, warehouse: str
) -> None:
    cancelled = threading.Event()
    before = _working(maria, warehouse)
    threading.Timer(0.3, cancelled.set).start()
    started = time.monotonic()
    assert database.error(database.endless, cancelled=cancelled, timeout=60).type == "cancelled"
    assert time.monotonic() - started < 2
    assert _working(maria, warehouse) <= before


def _working(maria: MariaDB, warehouse: str) -> set[Any]:
    """What the servers are at work on."""
    with psycopg.connect(warehouse) as asking:
        active = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        found = set(asking.execute(active))
    with maria.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT count%'")
        return found | {("mysql", row[0]) for row in cursor.fetchall()}


def test_a_server_that_has_gone_silent_is_let_go(postgresql: Asked) -> None:
    assert postgresql.door is not None
    threading.Timer(0.3, postgresql.door.deafen).start()
    cancelled = threading.Event()
    threading.Timer(0.6, cancelled.set).start()
    started = time.monotonic()
    assert postgresql.error("SELECT pg_sleep(30)", cancelled=cancelled).type == "cancelled"
    assert time.monotonic() - started < 2.6


def test_a_lost_connection_is_one_that_may_be_tried_again(postgresql: Asked) -> None:
    assert postgresql.door is not None
    threading.Timer(0.3, postgresql.door.drop).start()
    error = postgresql.error("SELECT pg_sleep(30)")
    assert (error.type, error.retryable) == ("connection", True)
    assert is_a(error.type, ["network"])


def test_a_broken_connection_of_the_pool_is_replaced(postgresql: Asked) -> None:
    assert postgresql.door is not None
    for _ in range(3):
        assert postgresql.value("1") == 1
    assert postgresql.door.opened <= 2  # one is only to see which address answers
    postgresql.door.drop()
    assert postgresql.value("1") == 1


def test_a_deadlock_is_one_that_may_be_tried_again(postgresql: Asked) -> None:
    postgresql("CREATE TABLE t (n integer PRIMARY KEY, x integer)")
    postgresql("INSERT INTO t VALUES (1, 0), (2, 0)")
    slow = "WITH first AS (UPDATE t SET x = 1 WHERE n = :a RETURNING pg_sleep(0.3)) SELECT * FROM first, lock_(:b)"
    postgresql(
        "CREATE FUNCTION lock_(k integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.3); "
        "UPDATE t SET x = 2 WHERE n = k; RETURN k; END $$".replace("\\:", ":").replace(":=", "\\:=")
    )
    with ThreadPoolExecutor(2) as both:
        done = [both.submit(postgresql, slow, {"a": a, "b": b}) for a, b in ((1, 2), (2, 1))]
    [error] = [one.exception() for one in done if one.exception()]
    assert isinstance(error, NodeError)
    assert (error.type, error.retryable) == ("sql_error", True)
    assert "40P01" in error.message


def test_more_threads_than_connections_take_turns(postgresql: Asked, mysql: Asked) -> None:
    for database, nap in ((postgresql, "pg_sleep(0.05)"), (mysql, "sleep(0.05)")):
        query = f"SELECT :n + 1 AS n, {nap} AS nap"
        with ThreadPoolExecutor(12) as many:
            asked = [many.submit(database, query, {"n": n}) for n in range(24)]
        assert [one.result()["rows"][0]["n"] for one in asked] == list(range(1, 25))


def test_writers_of_one_file_take_turns(sqlite: Asked) -> None:
    sqlite("CREATE TABLE t (n integer)")
    with ThreadPoolExecutor(8) as many:
        list(many.map(lambda n: sqlite("INSERT INTO t VALUES (:n)", {"n": n}), range(40)))
    assert sqlite("SELECT count(*) AS n FROM t")["rows"] == [{"n": 40}]


def test_who_waits_for_a_locked_file_has_its_time_limit(sqlite: Asked, folder: Path) -> None:
    sqlite("CREATE TABLE t (n integer)")
    other = sqlite3.connect(folder / "default" / "shop" / "orders.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert sqlite.error("INSERT INTO t VALUES (1)", timeout=0.3).type == "timeout"
    other.execute("COMMIT")
    other.close()
    assert sqlite("INSERT INTO t VALUES (1)")["rowCount"] == 1


# Where it may go


def test_a_private_address_has_to_be_allowed(postgresql: Asked, mysql: Asked) -> None:
    for database in (postgresql, mysql):
        error = database.error("SELECT 1", allow=())
        assert (error.type, error.retryable) == ("blocked_address", False)
        port = urlsplit(database.spec["url"]).port
        assert f"localhost:{port}" in error.hint
        assert database("SELECT 1 AS one", allow=(f"localhost:{port}",))["rowCount"] == 1
        # What was allowed once is not from then on.
        assert database.error("SELECT 1", allow=()).type == "blocked_address"


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_the_address_that_was_checked_is_the_one_that_is_asked(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    asked: Asked = request.getfixturevalue(kind)
    asked.spec["url"] = asked.spec["url"].replace("localhost", "database.invalid")
    resolve = socket.getaddrinfo
    asked_for: list[str] = []

    def once(host: Any, *rest: Any, **more: Any) -> Any:
        if host != "database.invalid":
            return resolve(host, *rest, **more)
        asked_for.append(host)
        # A second look, of the driver's own, would find something else.
        return resolve("127.0.0.1" if len(asked_for) == 1 else "127.0.0.99", *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    assert asked.value("1") == 1
    assert len(asked_for) == 1


def test_a_changed_connection_is_used_at_once(postgresql: Asked, postgres: Postgres) -> None:
    assert postgresql.value("current_database()") == urlsplit(postgresql.spec["url"]).path[1:]
    with new_database(postgres) as url:
        old, new = urlsplit(postgresql.spec["url"]).path, urlsplit(url).path
        postgresql.spec["url"] = postgresql.spec["url"].replace(old, new)
        assert postgresql.value("current_database()") == new[1:]
        with psycopg.connect(postgres.url) as watching:
            count = watching.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'idle'", [old[1:]]
            )
            row = count.fetchone()
        assert row == (0,)


@pytest.mark.parametrize("url", ["sqlite:///../../x.db", "sqlite:////etc/x.db", "sqlite:///link/x.db"])
def test_a_file_outside_the_folder_cannot_be_reached(
    sqlite: Asked, folder: Path, tmp_path: Path, url: str
) -> None:
    (folder / "default").mkdir(parents=True)
    (folder / "default" / "link").symlink_to(tmp_path)
    sqlite.spec["url"] = url
    assert sqlite.error("SELECT 1").type == "wrong_connection_type"


def test_sql_reaches_no_other_file(sqlite: Asked, tmp_path: Path) -> None:
    secret = tmp_path / "other.db"
    sqlite3.connect(secret).close()
    for query in (f"ATTACH '{secret}' AS other", f"VACUUM INTO '{tmp_path / 'copy.db'}'"):
        error = sqlite.error(query)
        assert (error.type, error.retryable) == ("sql_error", False)
    assert not (tmp_path / "copy.db").exists()
    assert "not authorized" in sqlite.error("SELECT load_extension('x')").message


@pytest.mark.parametrize(
    "query",
    [
        "PRAGMA hard_heap_limit = 1",
        "PRAGMA temp_store_directory = '/'",
        "SELECT * FROM pragma_soft_heap_limit",
    ],
)
def test_sql_changes_nothing_that_holds_for_other_files(sqlite: Asked, query: str) -> None:
    assert "not authorized" in sqlite.error(query).message
    assert sqlite("PRAGMA table_info(x)")["rows"] == []


def test_a_statement_leaves_nothing_to_the_next_one_of_its_connection(postgresql: Asked) -> None:
    def left() -> Any:
        return postgresql.value(
            "concat_ws(' ', pg_backend_pid(), current_setting('search_path'), to_regclass('pg_temp.left_over'),"
            " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()))"
        )

    before = left()
    postgresql("SELECT pg_advisory_lock(7)")
    postgresql("SELECT set_config('search_path', 'pg_catalog', false)")
    postgresql("CREATE TEMPORARY TABLE left_over (id int)")
    postgresql("SET ROLE pg_read_all_data")
    assert left() == before
    assert postgresql.value("current_user::text") == postgresql.spec["user"]


def test_the_workers_own_password_is_nobody_elses(node: SqlNode, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[bytes] = []

    def ask_for_the_password(connection: socket.socket) -> None:
        said.append(connection.recv(4096))
        connection.sendall(b"R" + struct.pack("!ii", 8, 3))
        said.append(connection.recv(4096))

    monkeypatch.setenv("PGPASSWORD", "hunter2")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=hunter2")
    with raw_server(ask_for_the_password) as url:
        spec = {
            "type": "postgresql",
            "url": f"{url.replace('http', 'postgresql')}/db?sslmode=disable",
            "user": "u",
        }
        Asked(node, spec).error("SELECT 1")
        node.close()
    assert said
    assert b"hunter2" not in b"".join(said)


# Who may come in


@pytest.mark.parametrize(
    ("change", "type_"),
    [
        ({"password": "wrong"}, "sql_error"),
        ({"user": "nobody"}, "sql_error"),
    ],
)
def test_a_wrong_password_is_no_reason_to_try_again(mysql: Asked, change: dict[str, Any], type_: str) -> None:
    mysql.spec.update(change)
    error = mysql.error("SELECT 1")
    assert (error.type, error.retryable) == (type_, False)
    assert "Access denied" in error.message


def test_an_unknown_database_is_no_reason_to_try_again(postgresql: Asked) -> None:
    postgresql.spec["url"] += "x"
    error = postgresql.error("SELECT 1")
    assert (error.type, error.retryable) == ("sql_error", False)
    assert "does not exist" in error.message


def test_nobody_who_listens_is_a_lost_connection(postgresql: Asked, mysql: Asked) -> None:
    with tcp_door("/nowhere") as door:
        port = door.port
    for database in (postgresql, mysql):
        path = urlsplit(database.spec["url"]).path
        database.spec["url"] = f"{database.spec['type']}://localhost:{port}{path}"
        error = database.error("SELECT 1")
        assert (error.type, error.retryable) == ("connection", True)


def test_tls_is_checked_where_it_is_asked_for(
    mysql: Asked, postgresql: Asked, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cipher = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"
    plain = mysql.spec["url"]
    assert mysql(cipher)["rows"][0]["Value"] == ""
    for mode in ("prefer", "require"):
        mysql.spec["url"] = plain.replace("disable", mode)
        assert mysql(cipher)["rows"][0]["Value"] != ""
    mysql.spec["url"] = plain.replace("disable", "verify-full")
    error = mysql.error(cipher)
    assert (error.type, error.retryable) == ("tls", False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert mysql(cipher)["rows"][0]["Value"] != ""
    # The server of the tests has no TLS.
    for mode in ("require", "verify-full"):
        postgresql.spec["url"] = f"{postgresql.spec['url'].partition('?')[0]}?sslmode={mode}"
        assert postgresql.error("SELECT 1").type == "tls"


def test_a_connection_of_another_type_has_no_tables(sqlite: Asked) -> None:
    assert sqlite.error("SELECT 1", connection="web").type == "wrong_connection_type"
    assert sqlite.error("SELECT 1", connection="nobody").type == "unknown_connection"


def test_no_pragma_reaches_beyond_the_file(sqlite: Asked) -> None:
    sqlite("CREATE TABLE t (n integer)")
    assert [row["name"] for row in sqlite("PRAGMA table_info(t)")["rows"]] == ["n"]
    for pragma in ("hard_heap_limit = 20000", "temp_store_directory = '/'", "writable_schema = ON"):
        assert "not authorized" in sqlite.error(f"PRAGMA {pragma}").message
    assert "not authorized" in sqlite.error("SELECT * FROM pragma_soft_heap_limit").message


# Probes


def test_a_probe_says_where_it_came_and_what_answers_there(database: Asked) -> None:
    kind, url = database.spec["type"], urlsplit(database.spec["url"])
    connections = GivenConnections({"db": database.spec})
    found = database.node.probe(node_context(connections), "db")
    address = "shop/orders.db" if kind == "sqlite" else f"{url.netloc}{url.path}"
    server = {"postgresql": "PostgreSQL 1", "mysql": "1", "sqlite": "SQLite 3."}[kind]
    assert (found.address, found.tls) == (address, None)
    assert found.server is not None
    assert found.server.startswith(server)


def test_a_probe_fails_as_a_statement_would(postgresql: Asked, sqlite: Asked, folder: Path) -> None:
    wrong = {**postgresql.spec, "url": postgresql.spec["url"] + "x"}
    context = node_context(
        GivenConnections({"db": wrong, "gone": {**wrong, "url": "postgresql://localhost:1/x"}})
    )
    for name, type_ in (("db", "sql_error"), ("gone", "connection")):
        with pytest.raises(NodeError) as caught:
            postgresql.node.probe(context, name)
        assert caught.value.type == type_
    (folder / "default" / "shop").mkdir(parents=True)
    (folder / "default" / "shop" / "orders.db").write_bytes(b"this is no database at all" * 100)
    with pytest.raises(NodeError) as caught:
        sqlite.node.probe(node_context(GivenConnections({"db": sqlite.spec})), "db")
    assert "not a database" in caught.value.message


def test_a_probe_says_that_it_came_through_tls(node: SqlNode, maria: MariaDB, mysql: Asked) -> None:
    spec = {**mysql.spec, "url": f"mysql://localhost:{maria.port}/shop?sslmode=require"}
    found = node.probe(node_context(GivenConnections({"db": spec})), "db")
    assert str(found.tls).startswith("TLSv1.")
    assert found.address == f"localhost:{maria.port}/shop"
