"""Dead letters over real HTTP."""

from typing import Any

import httpx
import pytest
from api_site import Site

from store.runs import RunStatus
from store.spans import Span, SpanStatus
from web.api import letters


def dead(site: Site, deployment: str = "orders", type_: str = "connection") -> str:
    spans = [
        Span("a", SpanStatus.COMPLETED, 1, 1.0, 2.0, output='{"x": 1}'),
        Span("b", SpanStatus.FAILED, 1, 2.0, 3.0, error="{}"),
    ]
    error = f'{{"type": "{type_}", "message": "it broke"}}'
    return site.run(deployment, status=RunStatus.DEAD_LETTER, error=error, spans=spans)


def post(site: Site, path: str, **body: Any) -> httpx.Response:
    return site.http.post(f"/dead-letters/{path}", json=body)


def listed(site: Site, **query: Any) -> list[Any]:
    answer = site.http.get("/dead-letters", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def test_a_dead_letter_says_which_run_died_of_what(site: Site) -> None:
    version = site.deploy("orders")
    run = dead(site)
    [letter] = listed(site)
    assert (letter["id"], letter["deployment"], letter["pattern"]) == (run, "orders", "orders")
    assert (letter["version"], letter["state"]) == ({"id": version, "number": 1}, "open")
    assert letter["error"] == {"type": "connection", "message": "it broke"}
    assert (letter["settledAt"], letter["settledBy"], letter["retriedAs"]) == (None, None, None)


def test_filters_and_pages_find_what_was_asked_for(site: Site) -> None:
    site.deploy("orders")
    site.deploy("mails")
    [a, b] = dead(site), dead(site, "mails", "timeout")
    assert [one["id"] for one in listed(site, deployment="mails")] == [b]
    assert [one["id"] for one in listed(site, error="connection")] == [a]
    assert listed(site, since="2100-01-01T00:00:00Z") == []
    page = site.http.get("/dead-letters", params={"limit": 1}).json()
    assert ([one["id"] for one in page["items"]], page["next"]) == ([b], b)
    assert [one["id"] for one in listed(site, cursor=page["next"])] == [a]
    assert site.http.get("/dead-letters", params={"state": "gone"}).status_code == 422


def test_a_retried_letter_leaves_the_inbox_and_names_its_run(site: Site) -> None:
    site.deploy("orders")
    run = dead(site)
    answer = post(site, f"{run}/retry", **{"from": "failed"})
    assert answer.status_code == 202
    new = answer.json()
    assert (new["trigger"], new["replayOf"], new["actor"]) == ("replay", run, "admin")
    assert site.rung == [new["id"]]
    assert site.execute("SELECT path FROM spans WHERE run_id = %s", new["id"]) == [("a",)]
    assert listed(site) == []
    [letter] = listed(site, state="retried")
    assert (letter["retriedAs"], letter["settledBy"]) == (new["id"], "admin")
    again = post(site, f"{run}/retry")
    assert again.status_code == 409
    assert new["id"] in again.json()["detail"]


def test_the_retry_of_its_run_takes_it_out_too(site: Site) -> None:
    site.deploy("orders")
    run = dead(site)
    new = site.http.post(f"/runs/{run}/retry", json={}).json()["id"]
    assert listed(site) == []
    assert site.http.post(f"/runs/{run}/retry", json={}).status_code == 202, "a run may be retried again"
    assert listed(site, state="retried")[0]["retriedAs"] == new


def test_discarding_keeps_who_and_when(site: Site) -> None:
    site.deploy("orders")
    run = dead(site)
    gone = site.http.delete(f"/dead-letters/{run}")
    assert gone.status_code == 200
    assert (gone.json()["state"], gone.json()["settledBy"]) == ("discarded", "admin")
    assert gone.json()["settledAt"] is not None
    assert listed(site) == []
    assert site.http.delete(f"/dead-letters/{run}").status_code == 409
    assert site.http.get(f"/runs/{run}").json()["status"] == "dead_letter"


def test_many_are_retried_by_filter_and_what_cannot_be_stays_with_the_reason(site: Site) -> None:
    site.deploy("orders")
    site.deploy("mails")
    ids = [dead(site), dead(site, "mails"), dead(site, type_="timeout"), dead(site)]
    site.execute("UPDATE deployments SET state = 'paused' WHERE name = 'mails'")
    done = post(site, "retry", error="connection", version="live").json()
    assert [one["id"] for one in done["retried"]] == [ids[0], ids[3]]
    assert site.rung == [one["run"] for one in done["retried"]]
    [refused] = done["refused"]
    assert refused["id"] == ids[1]
    assert "paused" in refused["reason"]
    assert (done["left"], done["next"]) == (0, None)
    assert [one["id"] for one in listed(site)] == [ids[2], ids[1]]


def test_many_are_bounded_and_say_how_many_are_left(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letters, "MOST_DISCARDED", 2)
    site.deploy("orders")
    ids = [dead(site) for _ in range(5)]
    first = post(site, "discard", deployment="orders").json()
    assert (first["discarded"], first["left"], first["next"]) == (ids[:2], 3, ids[1])
    second = post(site, "discard", deployment="orders", cursor=first["next"]).json()
    assert (second["discarded"], second["left"]) == (ids[2:4], 1)


def test_what_is_wrong_in_a_body_is_said_before_anything_is_done(site: Site) -> None:
    site.deploy("orders")
    dead(site)
    answer = post(site, "retry", since="yesterday", deployment=7)
    assert {one["path"] for one in answer.json()["problems"]} == {"since", "deployment"}
    assert post(site, "retry", version="best").status_code == 422
    assert post(site, "retry", input={}).status_code == 422
    assert len(listed(site)) == 1
    with site.client(site.token("viewer")) as viewer:
        assert viewer.post("/dead-letters/discard", json={}).status_code == 403
    with site.client(site.token("admin", organisation="elsewhere")) as stranger:
        assert stranger.get("/dead-letters").json()["items"] == []
