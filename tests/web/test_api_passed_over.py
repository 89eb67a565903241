"""What a deployment that listens to errors did not answer is a condition of it."""

from __future__ import annotations

from typing import Any

import typer
from api_site import ADMIN, Site
from typer.testing import CliRunner

from cli import deployments
from store.error_runs import start

ONCALL = {"on": {"error": {"from": ["*"]}}, "nodes": [{"id": "a", "uses": "fail"}]}


def conditions(site: Site, name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.http.get(f"/deployments/{name}").json()["conditions"]
    return [one for one in found if one["type"] == "ErrorsPassedOver"]


def test_errors_that_start_no_run_are_told_for_a_day(site: Site) -> None:
    site.deploy("orders")
    site.deploy("oncall", ONCALL)
    assert conditions(site, "oncall") == []
    run = site.run("orders")
    with site.database.transaction() as connection:
        for _ in range(103):
            start(connection, [run])
    [told] = conditions(site, "oncall")
    assert told.pop("at")
    assert told.pop("message").startswith(
        "No run was started where 100 runs had started within a minute of 3 bad ends."
        f" The last one: run {run} of orders"
    )
    assert told == {"type": "ErrorsPassedOver", "status": True, "reason": "LoopProtection"}
    assert conditions(site, "orders") == []
    listed = site.http.get("/deployments").json()["items"]
    assert [
        one["name"] for one in listed if any(c["type"] == "ErrorsPassedOver" for c in one["conditions"])
    ] == ["oncall"]

    app = typer.Typer()
    deployments.register(app)
    environ = {"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN, "COLUMNS": "300"}
    shown = CliRunner().invoke(app, ["deployment", "oncall"], env=environ).stdout
    assert "Passed over" in shown
    assert "100 runs had started within a minute of 3 bad ends" in shown

    day = """UPDATE error_triggers SET passed_over = replace(passed_over::text, 'At": "20', 'At": "19')::jsonb"""
    site.execute(day)
    assert conditions(site, "oncall") == []
