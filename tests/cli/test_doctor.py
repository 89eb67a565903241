from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from weft_command import weft

from cli.checks import clock
from store.database import migrate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def report(data: Path, **environ: str) -> tuple[int, dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    done = weft("doctor", "--data", str(data), "--json", environ={"WEFT_PORT": "0"} | environ)
    said = json.loads(done.stdout)
    assert said["ok"] is (done.returncode == 0)
    checks = {check["name"]: check for check in said["checks"]}
    return done.returncode, checks, {setting["name"]: setting for setting in said["settings"]}


def test_a_machine_that_is_ready_for_the_first_start_is_well(tmp_path: Path) -> None:
    code, checks, settings = report(tmp_path / "new")
    assert code == 0
    assert checks["database"]["found"].startswith("embedded, not running")
    assert checks["data folder"]["found"].endswith("is made at the first start")
    assert not (tmp_path / "new").exists()
    assert settings["WEFT_DATA"] == {
        "name": "WEFT_DATA",
        "value": str(tmp_path / "new"),
        "origin": "flag --data",
    }
    assert settings["WEFT_PORT"]["origin"] == "environment"
    assert settings["WEFT_THREADS"] == {"name": "WEFT_THREADS", "value": "16", "origin": "default"}


def test_given_servers_are_asked_for_version_schema_and_clock(
    tmp_path: Path, unmigrated_database_url: str, redis_url: str
) -> None:
    servers = {"WEFT_DATABASE_URL": unmigrated_database_url, "WEFT_REDIS_URL": redis_url}
    code, checks, _ = report(tmp_path, **servers)
    assert code == 1
    assert "it migrates the database" in checks["migrations"]["remedy"]
    number = migrate(unmigrated_database_url)
    code, checks, _ = report(tmp_path, **servers)
    assert code == 0
    assert checks["migrations"]["found"] == f"schema {number} of {number}"
    assert checks["database"]["found"].startswith("PostgreSQL ")
    assert checks["clock"]["ok"]
    assert checks["broker"]["found"].startswith(("Valkey", "Redis"))


def test_what_is_wrong_comes_with_what_to_do_and_without_a_secret(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = weft(
        "doctor",
        "--data",
        str(tmp_path / "file" / "data"),
        environ={
            "WEFT_DATABASE_URL": "postgresql://weft:hunter2@127.0.0.1:1/weft",
            "WEFT_REDIS_URL": "redis://:hunter2@127.0.0.1:1/0",
            "WEFT_ADMIN_TOKEN": "hunter2hunter2hunter2",
            "WEFT_PORT": "0",
            "PATH": str(tmp_path),
        },
    )
    assert done.returncode == 1
    assert "hunter2" not in done.stdout + done.stderr
    for remedy in (
        "→ install it (Debian and Ubuntu: apt install git)",
        "→ choose another with --data (or WEFT_DATA)",
        "→ start it, or see WEFT_DATABASE_URL",
        "→ start it, or see WEFT_REDIS_URL",
    ):
        assert remedy in done.stdout


def test_clocks_may_differ_by_a_second() -> None:
    assert clock(NOW, NOW + timedelta(seconds=0.9)).ok
    assert not clock(NOW + timedelta(seconds=1.1), NOW).ok
