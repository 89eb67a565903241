"""Schedules over HTTP: when they fire, what became of their slots, and backfills."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_site import ADMIN, Site

from runner.ticking import schedule_key
from schemas.schedule import Schedule
from store.ids import new_id

NODES = [{"id": "a", "uses": "set", "with": {}}]
DAILY: dict[str, Any] = {"cron": "0 9 * * *", "timezone": "Europe/Berlin"}


def deploy(site: Site, *schedules: dict[str, Any], **options: Any) -> None:
    site.deploy("report", {"on": {"schedule": list(schedules)}, "nodes": NODES}, **options)


def triggers(site: Site) -> list[dict[str, Any]]:
    return list(site.http.get("/deployments/report").json()["triggers"])


def test_a_schedule_is_shown_as_it_will_behave(site: Site) -> None:
    said = {
        "cron": "30 2 * * *", "timezone": "Europe/Berlin", "from": "2026-01-01", "until": "2999-12-31T12:00",
        "dst": {"gap": "skip"}, "catchUp": "1h", "overlap": "queue", "jitter": "30s", "input": {"a": 1},
    }  # fmt: skip
    deploy(site, said, {"every": "15m"})
    first, second = triggers(site)
    assert {key: value for key, value in first.items() if key not in ("nextAt", "nextFireTimes")} == {
        "kind": "schedule",
        "number": 1,
        "cron": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "input": {"a": 1},
        "from": "2025-12-31T23:00:00.000Z",
        "until": "2999-12-31T11:00:00.000Z",
        "dst": {"gap": "skip", "overlap": "first"},
        "catchUp": {"windowMs": 3_600_000, "fire": "all"},
        "overlap": "queue",
        "jitterMs": 30_000,
    }
    assert second.keys() == {"kind", "number", "everyMs", "timezone", "nextAt", "nextFireTimes"}
    together = site.http.get("/deployments/report").json()["nextFireTimes"]
    assert together == second["nextFireTimes"]
    assert len(together) == 3


def test_a_schedule_that_has_ended_never_fires_again(site: Site) -> None:
    deploy(site, {**DAILY, "until": "2026-01-31"})
    [schedule] = triggers(site)
    assert (schedule["nextAt"], schedule["nextFireTimes"]) == (None, [])
    assert site.http.get("/deployments/report").json()["nextFireTimes"] == []


def add_slot(site: Site, at: str, key: str, **columns: Any) -> None:
    [(deployment,)] = site.execute("SELECT id FROM deployments")
    names = ", ".join(["deployment_id", "schedule", "at", *columns])
    marks = ", ".join(["%s"] * (3 + len(columns)))
    site.execute(f"INSERT INTO slots ({names}) VALUES ({marks})", deployment, key, at, *columns.values())


def test_slots_are_listed_with_their_runs_and_reasons_page_by_page(site: Site) -> None:
    deploy(site, DAILY)
    run = site.run("report")
    key = schedule_key(Schedule(cron="0 9 * * *", timezone="Europe/Berlin"))
    add_slot(site, "2026-03-01T08:00Z", key, refused="missed", last_at="2026-03-05T08:00Z", count=5)
    add_slot(site, "2026-03-06T08:00Z", key, refused="overlap")
    add_slot(site, "2026-03-07T08:00Z", key, run_id=run)
    add_slot(site, "2026-03-08T08:00Z", "abc", open=True)
    whole = site.http.get("/deployments/report/slots").json()
    assert whole["next"] is None
    assert [(one["at"][:10], one["status"], one["reason"], one["schedule"]) for one in whole["items"]] == [
        ("2026-03-08", "waiting", None, None),
        ("2026-03-07", "fired", None, "0 9 * * *"),
        ("2026-03-06", "skipped", "overlap", "0 9 * * *"),
        ("2026-03-01", "skipped", "missed", "0 9 * * *"),
    ]
    fired = whole["items"][1]
    assert (fired["runId"], fired["runStatus"], fired["number"]) == (run, "pending", 1)
    assert (whole["items"][-1]["until"], whole["items"][-1]["count"]) == ("2026-03-05T08:00:00.000Z", 5)

    paged: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = site.http.get(f"/deployments/report/slots?limit=1{cursor and f'&cursor={cursor}'}").json()
        paged += page["items"]
        cursor = page["next"]
    assert paged == whole["items"]

    def found(query: str) -> list[str]:
        return [one["at"][:10] for one in site.http.get(f"/deployments/report/slots?{query}").json()["items"]]

    assert found("status=skipped") == ["2026-03-06", "2026-03-01"]
    assert found("reason=missed") == ["2026-03-01"]
    assert found("since=2026-03-05T00:00:00Z&until=2026-03-06T08:00:00Z") == ["2026-03-06", "2026-03-01"]
    for wrong in ("status=gone", "reason=why", "cursor=x", "cursor=999999999999999999-abc", "since=2026"):
        assert site.http.get(f"/deployments/report/slots?{wrong}").status_code == 422
    assert site.http.get("/deployments/nothing/slots").status_code == 404


def backfill(site: Site, *, role: str | None = None, **body: Any) -> Any:
    wanted = {"from": "2026-03-01", "to": "2026-03-03"} | body
    with site.client(ADMIN if role is None else site.token(role)) as http:
        return http.post("/deployments/report/backfills", json=wanted)


def test_a_backfill_is_told_before_it_is_made_listed_and_cancelled(site: Site) -> None:
    deploy(site, DAILY)
    slots = [f"2026-03-0{day}T08:00:00.000Z" for day in (1, 2, 3)]
    dry = backfill(site, dryRun=True)
    assert (dry.status_code, dry.json()) == (200, {"slots": slots, "leftOut": []})
    assert site.http.get("/deployments/report/backfills").json() == {"items": [], "next": None}
    made = backfill(site, maxParallel=2, reverse=True)
    assert made.status_code == 202
    shown = made.json()
    assert (shown["slots"], shown["begun"], shown["ended"], shown["leftOut"]) == (3, 0, 0, 0)
    assert (shown["state"], shown["schedule"], shown["maxParallel"]) == ("running", "0 9 * * *", 2)
    assert (shown["from"], shown["to"]) == ("2026-02-28T23:00:00.000Z", "2026-03-03T22:59:59.999Z")
    order = site.execute("SELECT at FROM backfill_slots ORDER BY position")
    assert [row[0].astimezone(UTC).day for row in order] == [3, 2, 1]
    path = f"/deployments/report/backfills/{shown['id']}"
    [listed] = site.http.get("/deployments/report/backfills").json()["items"]
    assert listed == site.http.get(path).json()
    cancelled = site.http.post(f"{path}/cancel")
    assert (cancelled.status_code, cancelled.json()["reason"]) == (200, "cancelled by admin")
    assert site.http.post(f"{path}/cancel").status_code == 409
    assert site.http.get(f"/deployments/report/backfills/{new_id()}").status_code == 404


def test_slots_that_ran_are_left_out_unless_they_are_wanted_again(site: Site) -> None:
    deploy(site, DAILY)
    assert backfill(site).status_code == 202
    assert backfill(site, dryRun=True).json()["slots"] == []
    again = backfill(site)
    assert (again.status_code, "again" in again.json()["detail"]) == (409, True)
    assert backfill(site, again=True).json()["slots"] == 3
    longer = backfill(site, to="2026-03-04").json()
    assert (longer["slots"], longer["leftOut"]) == (1, 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"from": "March"}, "a day or a time"),
        ({"from": 7}, "a day or a time"),
        ({"from": "0001-01-01"}, "a day or a time"),
        ({"to": "2026-02-01"}, "before `from`"),
        ({"from": "2026-03-01T09:01", "to": "2026-03-01T10:00"}, "no slot of the past"),
        ({"from": "2999-01-01", "to": "2999-12-31"}, "no slot of the past"),
        ({"schedule": 2}, "1: 0 9 * * * in Europe/Berlin"),
        ({"schedule": True}, "number of one"),
        ({"cron": "x"}, "five fields"),
        ({"cron": "* * * * *", "schedule": 1}, "not both"),
        ({"cron": "* * * * *", "timezone": "Mars"}, "no time zone"),
        ({"timezone": "UTC"}, "goes with `cron`"),
        ({"maxParallel": 0}, "from 1 to 100"),
        ({"again": 1}, "true or false"),
        ({"cron": "* * * * *", "to": "2026-03-20"}, "more than 10,000 slots"),
        ({"unknown": 1}, "no such key"),
    ],
)
def test_a_backfill_that_cannot_be_says_why(site: Site, body: dict[str, Any], said: str) -> None:
    deploy(site, DAILY)
    answer = backfill(site, **body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert site.execute("SELECT 1 FROM backfills") == []


def test_with_several_schedules_one_has_to_be_named(site: Site) -> None:
    deploy(site, DAILY, {"every": "12h"})
    assert "2: every 12h in UTC" in backfill(site).json()["detail"]
    assert len(backfill(site, schedule=2, dryRun=True).json()["slots"]) == 6
    assert len(backfill(site, cron="@hourly", timezone="Asia/Tokyo", dryRun=True).json()["slots"]) == 72


def test_a_backfill_needs_an_operator_and_a_deployment_that_is_active(site: Site) -> None:
    deploy(site, DAILY)
    assert backfill(site, role="editor").status_code == 403
    assert backfill(site, role="operator").status_code == 202
    deploy(site, DAILY, state="paused")
    assert backfill(site, again=True).status_code == 409


def test_a_backfill_goes_up_to_now_and_no_further(site: Site) -> None:
    deploy(site, {"every": "1h"})
    now = datetime.now(UTC)
    begin = (now - timedelta(hours=5)).isoformat()
    body = {"from": begin[:19] + "Z", "to": (now + timedelta(days=2)).date().isoformat(), "dryRun": True}
    assert 5 <= len(backfill(site, **body).json()["slots"]) <= 6
