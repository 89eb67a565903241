"""What a node gets of the connections that the applied default branch has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from running import SECRETS, Running, worker

from runner.nodes.base import NodeError
from runner.project_connections import ProjectConnections
from runner.secrets import EnvironmentSecrets
from schemas.connection import Limit
from schemas.errors import ERROR_TYPES
from store.connections import connection_names, connection_spec, write_connections
from store.database import Database

WAREHOUSE = {
    "type": "postgresql",
    "url": "postgresql://db/warehouse",
    "password": "${{ secrets.WAREHOUSE_PASSWORD }}",
    "environments": {"staging": {"url": "postgresql://staging/warehouse"}},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url, connections=2)
    with made.connection() as connection:
        write_connections(connection, "default", {"warehouse": WAREHOUSE}, commit="c1")
    yield made
    made.close()


def connections_of(
    database: Database, organisation: str = "default", environment: str = "production"
) -> ProjectConnections:
    secrets = EnvironmentSecrets(SECRETS.open(database), organisation, environment)
    return ProjectConnections(database, organisation, environment, secrets)


def refusal(connections: ProjectConnections, name: str, *types: str) -> NodeError:
    with pytest.raises(NodeError) as caught:
        connections.get(name, *types)
    assert caught.value.type in ERROR_TYPES
    assert not caught.value.retryable
    return caught.value


def test_it_comes_as_its_environment_has_it_with_secrets(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_SECRET_WAREHOUSE_PASSWORD", "hunter2")
    for environment, host in (("production", "db"), ("staging", "staging")):
        assert connections_of(database, environment=environment).get("warehouse", "postgresql") == {
            "type": "postgresql",
            "url": f"postgresql://{host}/warehouse",
            "password": "hunter2",
            "name": "warehouse",
            "organisation": "default",
            "environment": environment,
        }


def test_a_limit_is_that_of_its_environment_and_names_what_counts_together(database: Database) -> None:
    own = {"staging": {"maxConcurrent": 2}, "canary": {"user": "c"}}
    limited = {**WAREHOUSE, "maxConcurrent": 5, "environments": own}
    with database.connection() as connection:
        write_connections(connection, "default", {"warehouse": WAREHOUSE, "limited": limited}, commit="c2")
    assert connections_of(database, environment="staging").limit("warehouse") is None
    for environment, most, counted in (("production", 5, ""), ("canary", 5, ""), ("staging", 2, "staging")):
        limit = connections_of(database, environment=environment).limit("limited")
        expected = Limit(organisation="default", connection="limited", environment=counted, most=most)
        assert limit == expected
    with pytest.raises(NodeError) as caught:
        connections_of(database, environment="staging").limit("nothing")
    assert caught.value.type == "unknown_connection"


def test_a_secret_is_the_one_of_the_moment_and_one_that_is_not_there_is_named(database: Database) -> None:
    error = refusal(connections_of(database), "warehouse")
    assert error.type == "unknown_secret"
    assert "The connection warehouse: There is no secret WAREHOUSE_PASSWORD" in error.message
    assert "weft secret set WAREHOUSE_PASSWORD" in error.hint
    stored = SECRETS.open(database).stored
    for value in ("one", "two"):
        stored.put("default", "", "WAREHOUSE_PASSWORD", value, by="ada")
        assert connections_of(database).get("warehouse")["password"] == value


@pytest.mark.parametrize(
    ("type_", "url"),
    [
        ("postgresql", "postgresql://user:hunter2/x@db/warehouse"),
        ("postgresql", "postgresql://u:hunter2@a,b/warehouse"),
        ("postgresql", "postgresql://u:hunter2@db/warehouse?host=%2Ftmp"),
        ("postgresql", "postgresql://u:hunter2@db/warehouse?service=hunter2"),
        ("mysql", "mysql://db/shop?read_default_file=hunter2"),
        ("mysql", "hunter2"),
        ("sqlite", "sqlite:////hunter2/x.db"),
        ("sqlite", "sqlite:///x.db?hunter2"),
        ("smtp", "hunter2://mail"),
        ("http", "file:///hunter2"),
    ],
)
def test_an_address_that_is_a_secret_is_checked_before_its_use_and_never_told(
    database: Database, monkeypatch: pytest.MonkeyPatch, type_: str, url: str
) -> None:
    spec = {"type": type_, "url": "${{ secrets.URL }}"}
    with database.connection() as connection:
        write_connections(connection, "default", {"hidden": spec}, commit="c2")
    monkeypatch.setenv("WEFT_SECRET_URL", url)
    error = refusal(connections_of(database), "hidden")
    assert error.type == "wrong_connection_type"
    assert "hunter2" not in f"{error.message} {error.hint}"


@pytest.mark.parametrize(
    "url", ["postgresql://u:p%40ss,word@db/warehouse", "postgres://db:1/w?sslmode=require"]
)
def test_an_address_that_is_a_secret_may_hold_a_password(
    database: Database, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    spec = {"type": "postgresql", "url": "${{ secrets.URL }}"}
    with database.connection() as connection:
        write_connections(connection, "default", {"hidden": spec}, commit="c2")
    monkeypatch.setenv("WEFT_SECRET_URL", url)
    assert connections_of(database).get("hidden")["url"] == url


def test_what_is_not_there_or_of_another_type_is_told(database: Database) -> None:
    connections = connections_of(database)
    error = refusal(connections, "warehuose")
    assert error.type == "unknown_connection"
    assert error.hint == 'Did you mean "warehouse"?'
    assert refusal(connections, "warehouse", "http", "smtp").type == "wrong_connection_type"
    assert refusal(connections_of(database, "other"), "warehouse").type == "unknown_connection"


def test_only_what_differs_is_written_and_what_is_kept_stays(database: Database) -> None:
    with database.connection() as connection:
        assert not write_connections(connection, "default", {"warehouse": WAREHOUSE}, commit="c2")
        other = {**WAREHOUSE, "user": "u"}
        assert write_connections(connection, "default", {"warehouse": other, "b": WAREHOUSE}, commit="c3")
        assert connection_spec(connection, "default", "warehouse") == other
        assert write_connections(connection, "default", {}, commit="c4", keep=["b"])
        assert connection_names(connection, "default") == ["b"]


def test_it_tells_which_secrets_it_needs_and_lets_others_find_them(database: Database) -> None:
    connections = connections_of(database)
    assert connections.secret_names("warehouse") == {"WAREHOUSE_PASSWORD"}
    assert connections.get("warehouse", secret=str.lower)["password"] == "warehouse_password"


def test_no_error_of_a_node_shows_a_secret_of_its_connection(
    database: Database, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEFT_SECRET_KEY", "T00-hunter2")
    hook = {"type": "http", "url": "http://127.0.0.1:1/services/${{ secrets.KEY }}"}
    with database.connection() as connection:
        write_connections(connection, "default", {"hook": hook}, commit="c2")
    running = Running(database, redis_url)
    node = {"id": "a", "uses": "http", "with": {"connection": "hook"}, "retry": {"attempts": 1}}
    running.deploy("p", [node], project={"network": {"allow": ["127.0.0.1:1"]}})
    with worker(running):
        run = running.run("p")
    assert "hunter2" not in str(run)
    assert "127.0.0.1:1/services/***: Connection refused" in run["error"]["message"]
