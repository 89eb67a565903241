"""`weft rebuild`, with the service up and with it down."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from git_work import Work, deployment, pattern
from typer.testing import CliRunner, Result

from cli import rebuild
from cli.embedded.child import stop
from cli.embedded.postgres import open_postgres, running_url
from cli.errors import CommandError
from cli.installation import hold
from reconciler.reconciler import Reconciler
from store.database import Database

KEY = "ab" * 32


@pytest.fixture
def data() -> Iterator[Path]:
    """A short data folder that PostgreSQL's own user can enter when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="weft-rebuild-"))
    folder.chmod(0o711)
    (folder / "installation-key").write_text(KEY)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def invoke(data: Path, *arguments: str, database_url: str = "") -> Result:
    app = typer.Typer()
    rebuild.register(app)
    environ = {"WEFT_DATABASE_URL": database_url, "WEFT_DATA": str(data), "WEFT_INSTALLATION_KEY": ""}
    return CliRunner().invoke(app, arguments, env=environ)


def refusal(result: Result) -> str:
    assert isinstance(result.exception, CommandError)
    return str(result.exception)


def push_something(database_url: str, data: Path, work: Path) -> None:
    database = Database(database_url, connections=2)
    reconciler = Reconciler(
        database, data / "git", installation_key=bytes.fromhex(KEY), public_url="http://weft.test"
    )
    one = Work(work, reconciler)
    one.commit({"patterns/a.yaml": pattern("a"), "deployments/a.yaml": deployment("a")})
    one.push()
    one.commit({"patterns/a.yaml": pattern("a", "two")})
    one.push()
    database.close()


def live(database_url: str) -> list[Any]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            """SELECT name, version_id, number, hook_token FROM deployments d
               JOIN freezes f USING (organisation, version_id)"""
        ).fetchall()


def test_an_emptied_database_gets_the_same_back_while_the_service_may_be_up(
    data: Path, database_url: str, tmp_path: Path
) -> None:
    push_something(database_url, data, tmp_path / "work")
    before = live(database_url)
    assert before[0][2] == 2
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    done = invoke(data, database_url=database_url)
    assert done.exit_code == 0, done.exception
    assert "1 deployment\n" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["a", "v2", "active"]
    assert live(database_url) == before
    again = json.loads(invoke(data, "--json", database_url=database_url).stdout)
    assert again["default"]["deployments"][0]["name"] == "a"
    assert live(database_url) == before


def test_with_the_service_down_the_embedded_database_runs_for_as_long_as_it_takes(
    data: Path, database_url: str, tmp_path: Path
) -> None:
    push_something(database_url, data, tmp_path / "work")
    done = invoke(data)
    assert done.exit_code == 0, done.exception
    assert running_url(data) is None
    service = open_postgres(data)
    process = service.spawn()
    try:
        service.wait_ready(process)
        assert live(service.url) == live(database_url)
    finally:
        stop(process, service.stop_signal)


def test_what_cannot_be_rebuilt_says_why(data: Path, database_url: str) -> None:
    assert "There is no repository" in refusal(invoke(data, database_url=database_url))
    held = hold(data)
    try:
        assert "already runs" in refusal(invoke(data))
    finally:
        os.close(held)
    (data / "installation-key").unlink()
    assert "WEFT_INSTALLATION_KEY" in refusal(invoke(data, database_url=database_url))
