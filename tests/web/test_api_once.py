"""`Idempotency-Key`: a request that is sent again starts one run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from api_site import Site


def start(site: Site, key: str | None, body: Any = None, name: str = "orders") -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return site.http.post(f"/deployments/{name}/runs", json=body or {}, headers=headers)


def test_the_same_key_answers_with_the_first_run(site: Site) -> None:
    site.deploy("orders")
    first, again = start(site, "k1", {"input": 1}), start(site, "k1", {"input": 1})
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json()["id"] == first.json()["id"]
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert site.rung == [first.json()["id"]], "it is announced once"
    assert start(site, None, {"input": 1}).json()["id"] != first.json()["id"]


def test_another_body_under_the_same_key_is_409_and_starts_nothing(site: Site) -> None:
    site.deploy("orders")
    first = start(site, "k1", {"input": 1}).json()["id"]
    answer = start(site, "k1", {"input": 2})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:weft:problem:same-key-other-body")
    assert first in answer.json()["detail"]
    assert start(site, "k1", {"input": 1, "trigger": "manual"}).status_code == 409
    assert len(site.execute("SELECT id FROM runs")) == 1


def test_keys_are_of_a_user_and_a_deployment(site: Site) -> None:
    site.deploy("orders")
    site.deploy("returns")
    first = start(site, "k1").json()["id"]
    assert start(site, "k1", name="returns").json()["id"] != first
    token = site.http.post("/tokens", json={"user": "bob", "role": "operator"}).json()["token"]
    headers = {"Idempotency-Key": "k1", "Authorization": f"Bearer {token}"}
    bobs = site.http.post("/deployments/orders/runs", json={}, headers=headers)
    assert (bobs.status_code, bobs.json()["id"] != first) == (202, True)


def test_a_refused_request_uses_up_no_key(site: Site) -> None:
    site.deploy("orders", {"input": {"type": "integer"}, "nodes": []})
    assert start(site, "k1", {"input": "seven"}).status_code == 422
    assert start(site, "k1", {"input": 7}).status_code == 202


def test_a_key_is_not_anything(site: Site) -> None:
    site.deploy("orders")
    for key in ("", "x" * 256, "a\tb"):
        assert start(site, key).status_code == 422
    assert site.execute("SELECT id FROM runs") == []


def test_many_at_once_start_one_run(site: Site) -> None:
    site.deploy("orders")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: start(site, "crowd", {"input": 1}), range(48)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(site.execute("SELECT id FROM runs")) == 1
