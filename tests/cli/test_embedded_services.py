from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis

from cli.embedded import binaries
from cli.embedded.system_user import can_enter, database_user


def test_each_test_has_an_empty_database_of_its_own(unmigrated_database_url: str) -> None:
    with psycopg.connect(unmigrated_database_url) as connection:
        row = connection.execute(
            "SELECT current_setting('server_version_num')::int, current_setting('lc_messages'),"
            " (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"
        ).fetchone()
    assert row is not None
    assert row[0] >= 140_000
    assert row[1:] == ("C", 0)


def test_the_broker_answers_and_never_evicts(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        assert client.dbsize() == 0
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("save") == {"save": ""}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that others may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="weft-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_roots_own_environment_is_copied_to_where_the_database_user_can_run_it(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = database_user()
    assert user is not None
    private, installed = open_folder / "private", binaries.installed_postgres()
    inside = private / installed.parent.name / installed.name
    shutil.copytree(installed / "bin", inside / "bin")
    libraries = f"{installed.parent.name}.libs"
    shutil.copytree(installed.parent.parent / libraries, private / libraries)
    private.chmod(0o700)
    monkeypatch.setattr(binaries, "installed_postgres", lambda: inside)
    assert not can_enter(user, private)
    folder = binaries.postgres_binaries(open_folder, user)
    assert folder.is_relative_to(open_folder)
    said = subprocess.run([folder / "initdb", "--version"], user=user.uid, capture_output=True, text=True)
    assert said.stdout.startswith("initdb (PostgreSQL) 18"), said.stderr
    assert binaries.postgres_binaries(open_folder, user) == folder
