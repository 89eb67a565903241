"""`weft slots`, `weft backfill` and `weft backfills`, against a real server."""

import json
from collections.abc import Callable

import pytest
import typer
from api_site import ADMIN, Site
from typer.testing import CliRunner, Result

from cli import backfills, deployments

Weft = Callable[..., Result]
SPEC = {"on": {"schedule": [{"cron": "0 9 * * *"}]}, "nodes": [{"id": "a", "uses": "set", "with": {}}]}


@pytest.fixture
def site(site: Site) -> Site:
    site.deploy("report", SPEC)
    return site


@pytest.fixture
def weft(site: Site) -> Weft:
    app = typer.Typer()
    backfills.register(app)
    deployments.register(app)
    environ = {"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN}
    return lambda *arguments: CliRunner().invoke(app, arguments, env=environ)


def test_slots_show_runs_and_reasons(site: Site, weft: Weft) -> None:
    assert "no such slots" in weft("slots", "report").stdout
    run = site.run("report")
    [(deployment,)] = site.execute("SELECT id FROM deployments")
    insert = "INSERT INTO slots (deployment_id, schedule, at, run_id, refused, last_at, count)"
    site.execute(f"{insert} VALUES (%s, 'a', '2026-03-02T09:00Z', %s, NULL, NULL, NULL)", deployment, run)
    site.execute(
        f"{insert} VALUES (%s, 'a', '2026-03-01T09:00Z', NULL, 'missed', '2026-03-01T11:00Z', 3)", deployment
    )
    _, fired, missed = weft("slots", "report").stdout.splitlines()
    assert run in fired
    assert "skipped: missed" in missed
    assert "(3)" in missed
    [only] = json.loads(weft("slots", "report", "--status", "fired", "--json").stdout)
    assert only["runId"] == run
    assert weft("slots", "report", "--status", "nonsense").exit_code != 0


def test_a_backfill_is_tried_made_seen_and_cancelled(site: Site, weft: Weft) -> None:
    days = ("--from", "2026-03-01", "--to", "2026-03-03")
    dry = weft("backfill", "report", *days, "--dry-run")
    assert dry.stdout.splitlines() == [f"2026-03-0{day}T09:00:00.000Z" for day in (1, 2, 3)]
    assert "3 slots would run" in dry.stderr
    made = weft("backfill", "report", *days, "--max-parallel", "2")
    assert "3 slots of 0 9 * * *" in made.stdout
    [found] = json.loads(weft("backfills", "report", "--json").stdout)
    _, line = weft("backfills", "report").stdout.splitlines()
    assert (found["id"] in line, "0 of 3" in line, "running" in line) == (True, True, True)
    said = weft("backfills", "report", "--cancel", found["id"])
    assert "cancelled by admin" in said.stdout
    refused = weft("backfill", "report", "--from", "March", "--to", "2026-03-03")
    assert refused.exit_code != 0


def test_a_deployment_shows_its_schedules_numbered_with_when_they_fire_next(site: Site, weft: Weft) -> None:
    schedules = [
        {"cron": "@daily", "overlap": "skip", "jitter": "30s", "catchUp": "latest", "from": "2026-03-01"},
        {"every": "1h", "until": "2026-01-01"},
    ]
    site.deploy("report", {**SPEC, "on": {"schedule": schedules}}, number=2)
    first, second = (line for line in weft("deployment", "report").stdout.splitlines() if "Schedule" in line)
    assert first.startswith("Schedule 1  @daily (UTC, from 2026-03-01")
    assert "catches up latest of 1d, overlap skip, up to 30s later), next " in first
    assert first.split(", next ")[1].count(",") == 2
    assert second.rstrip().endswith("every 1h (UTC, until 2026-01-01), never fires again")


def test_when_a_schedule_begins_and_ends_is_told_on_its_own_clock(site: Site, weft: Weft) -> None:
    tokyo = {"cron": "@daily", "timezone": "Asia/Tokyo", "from": "2026-03-01", "until": "2096-12-31"}
    new_york = {
        "every": "90s",
        "timezone": "America/New_York",
        "from": "2026-03-01T09:30",
        "until": "2096-12-31",
    }
    site.deploy("report", {**SPEC, "on": {"schedule": [tokyo, new_york]}}, number=2)
    first, second = (line for line in weft("deployment", "report").stdout.splitlines() if "Schedule" in line)
    assert "@daily (Asia/Tokyo, from 2026-03-01, until 2096-12-31), next" in first
    assert "every 90s (America/New_York, from 2026-03-01 09:30:00, until 2096-12-31), next" in second


def test_every_command_says_how_it_is_used() -> None:
    app = typer.Typer()
    backfills.register(app)
    for name in ("slots", "backfill", "backfills"):
        assert f"Example: weft {name}" in CliRunner().invoke(app, [name, "--help"]).stdout
