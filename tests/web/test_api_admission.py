"""Limits and circuits as callers of the API see them."""

from typing import Any

import httpx
import pytest
from api_site import Site

from store.runs import RunStatus

BREAKER = {"failures": 1, "within": "10m", "cooldown": "1h"}


def start(site: Site) -> httpx.Response:
    return site.http.post("/deployments/orders/runs", json={})


def of(site: Site) -> Any:
    return site.http.get("/deployments/orders").json()


def test_a_queued_run_says_so_and_is_not_announced(site: Site) -> None:
    site.deploy("orders", concurrency={"limit": 1})
    first, second = start(site).json(), start(site).json()
    assert (first["status"], second["status"]) == ("pending", "queued")
    assert site.rung == [first["id"]]
    listed = site.http.get("/runs", params={"status": "queued"}).json()["items"]
    assert [run["id"] for run in listed] == [second["id"]]
    gone = site.http.post(f"/runs/{second['id']}/cancel").json()
    assert gone["status"] == "cancelled"
    assert of(site)["concurrency"] == {"limit": 1}


def test_a_full_deployment_that_rejects_answers_409(site: Site) -> None:
    site.deploy("orders", concurrency={"limit": 1, "whenFull": "reject"})
    start(site)
    answer = start(site)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:weft:problem:concurrency-full")


@pytest.mark.parametrize("again", ["retry", "dead letter"])
def test_what_is_repeated_obeys_too(site: Site, again: str) -> None:
    site.deploy("orders")
    dead = site.run("orders", status=RunStatus.DEAD_LETTER)
    site.deploy("orders", number=2, concurrency={"limit": 1, "whenFull": "reject"})
    start(site)
    path = f"/runs/{dead}/retry" if again == "retry" else f"/dead-letters/{dead}/retry"
    assert site.http.post(path, json={}).status_code == 409
    assert len(site.http.get("/dead-letters").json()["items"]) == 1, "it stays in the inbox"


def test_an_open_circuit_is_told_and_resumed_without_a_commit(site: Site) -> None:
    site.deploy("orders", circuitBreaker=BREAKER)
    error = '{"type": "http_status", "message": "https://crm.example answered 502"}'
    failed = site.run("orders", status=RunStatus.FAILED, error=error)
    answer = start(site)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:weft:problem:circuit-open")
    assert 3000 < int(answer.headers["Retry-After"]) <= 3600
    found = of(site)
    assert (found["state"], found["status"]) == ("active", "circuit_open")
    [condition] = [one for one in found["conditions"] if one["type"] == "CircuitOpen"]
    assert "https://crm.example answered 502" in condition["message"]
    assert found["circuit"]["failures"][0]["run"] == failed
    assert site.http.get("/deployments").json()["items"][0]["status"] == "circuit_open"
    assert site.http.post("/deployments/or%00ders/resume", json={}).status_code == 404
    done = site.http.post("/deployments/orders/resume", json={})
    assert (done.status_code, done.json()["circuit"], done.json()["commit"]) == (200, "closed", None)
    assert (of(site)["status"], of(site)["circuit"]) == ("ready", None)
    assert start(site).status_code == 202
