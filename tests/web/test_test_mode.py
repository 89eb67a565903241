"""Test mode: drafts run for real, and nothing of them is live."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_site import Site
from git_work import Work

from store import drafts

SCRIPT = "def main(order):\n    return {'total': order['price'] * 2}\n"


def pattern(name: str, *nodes: str, head: str = "") -> str:
    listed = "".join(f"    - {node}\n" for node in nodes)
    return f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: {name}}}\nspec:\n{head}  nodes:\n{listed}"


ORDERS = pattern(
    "orders",
    "{id: take, uses: set, with: {price: '${{ input.price }}'}}",
    "{id: add, uses: script, with: {file: scripts/add.py, input: '${{ nodes.take.output }}'}}",
    "{id: told, uses: call, with: {pattern: tell, input: '${{ nodes.add.output.total }}'}}",
    head="  variables: {greeting: hello}\n",
)
TELL = pattern(
    "tell",
    "{id: send, uses: http, with: {url: 'http://127.0.0.1:9/'}}",
    "{id: said, uses: set, with: {of: '${{ input }}', got: '${{ nodes.send.output }}'}}",
    head="  on: {call: {}}\n",
)
DEPLOYMENT = """apiVersion: weft/v1
kind: Deployment
metadata: {name: orders}
spec: {pattern: orders}
"""
FILES = {"patterns/orders.yaml": ORDERS, "patterns/tell.yaml": TELL, "scripts/add.py": SCRIPT}
SENT = {"stubs": {"told/send": {"status": 200}}, "input": {"price": 4}}


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    with Site(database_url, redis_url, tmp_path / "git") as site:
        yield site


@pytest.fixture
def work(site: Site, tmp_path: Path) -> Work:
    work = Work(tmp_path / "work", site.reconciler)
    work.commit(FILES)
    assert not work.push().refused
    return work


def try_out(site: Site, name: str = "orders", **body: Any) -> httpx.Response:
    return site.http.post(f"/patterns/{name}/test", json=body)


def ended(site: Site, answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 202, answer.text
    until = time.monotonic() + 20
    while time.monotonic() < until:
        run = site.http.get(f"/runs/{answer.json()['id']}").json()
        if run["endedAt"]:
            return run
        time.sleep(0.05)
    raise AssertionError(run)


def outputs(run: dict[str, Any]) -> dict[str, Any]:
    return {node["path"]: node["output"] for node in run["nodes"]}


def test_a_draft_document_runs_for_real_and_nothing_is_deployed(site: Site, work: Work) -> None:
    draft = ORDERS.replace("input.price", "input.price + 1")
    with site.worker():
        run = ended(site, try_out(site, document=draft, **SENT))
    assert (run["status"], run["mode"], run["trigger"], run["deployment"]) == ("completed", "test", "manual", None)
    assert (run["environment"], run["version"]["number"], run["actor"]) == ("test", None, "admin")
    assert outputs(run)["add"] == {"total": 10}
    assert run["output"] == {"of": 10, "got": {"status": 200}}
    assert site.http.get("/deployments").json()["items"] == []
    [one] = site.http.get("/patterns/orders/versions").json()["items"]
    assert one["number"] == 1
    [listed] = site.http.get("/runs?mode=test&roots=true").json()["items"]
    assert listed["id"] == run["id"]
    assert site.http.get("/runs?mode=live").json()["items"] == []
