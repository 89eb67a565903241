"""What is posted to runs, and outputs that are kept apart: over HTTP, with a worker that executes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from api_site import ADMIN, Site
from running import Running, sweeper, worker
from typer.testing import CliRunner

from cli import posting
from cli.client import MisusedError
from store.database import Database
from store.s3_blobs import BlobPlace


@pytest.fixture
def running(database_url: str, redis_url: str) -> Iterator[Running]:
    database = Database(database_url, connections=8)
    yield Running(database, redis_url)
    database.close()


@pytest.fixture
def site(running: Running, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Site]:
    with Site(database_url, redis_url, tmp_path) as site:
        blobs = BlobPlace(str(tmp_path / "blobs"))
        with site.bells(), worker(running, blobs=blobs), sweeper(running):
            yield site


def send(site: Site, path: str, token: str | None, body: dict[str, Any]) -> httpx.Response:
    """As the admin, or with the token of somebody else."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return site.http.post(path, json=body, headers=headers)


def start(site: Site, name: str, by: str | None = None, **body: Any) -> str:
    answer = send(site, f"/deployments/{name}/runs", by, body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def post(site: Site, run: str, by: str | None = None, **body: Any) -> httpx.Response:
    return send(site, f"/runs/{run}/events", by, body)


def waiting(running: Running, run: str) -> None:
    running.wait(run, until=("waiting",))


APPROVE = {"id": "ok", "uses": "approve", "with": {"message": "Ship it?", "notRequester": False}}


def test_a_node_that_waits_says_until_when(site: Site, running: Running) -> None:
    waits = {"id": "w", "uses": "wait", "with": {"event": "paid", "timeout": "1h"}}
    running.deploy("p", [waits])
    run = start(site, "p")
    waiting(running, run)
    node = site.http.get(f"/runs/{run}").json()["nodes"][0]
    began, over = map(datetime.fromisoformat, (node["startedAt"], node["wakesAt"]))
    assert over - began == timedelta(hours=1)
    post(site, run, event="paid")
    running.wait(run)
    assert "wakesAt" not in site.http.get(f"/runs/{run}").json()["nodes"][0]


def test_an_event_makes_a_waiting_run_go_on(site: Site, running: Running) -> None:
    running.deploy("p", [{"id": "w", "uses": "wait", "with": {"event": "paid"}}])
    run = start(site, "p")
    waiting(running, run)
    node = site.http.get(f"/runs/{run}").json()["nodes"][0]
    assert (node["waitsFor"], node["output"]) == ({"event": "paid"}, None)
    assert post(site, run, event="paid", body={"sum": 3}).status_code == 202
    assert running.wait(run)["output"] == {"sum": 3}
    gone = post(site, run, event="paid")
    assert (gone.status_code, gone.json()["type"]) == (409, "urn:weft:problem:run-ended")


@pytest.mark.parametrize(
    "body",
    [{}, {"event": "a", "approved": True}, {"event": ""}, {"event": 3}, {"event": "weft.approval"},
     {"approved": "yes"}, {"event": "x" * 201}, {"event": "a\0"}],
)  # fmt: skip
def test_what_is_neither_event_nor_answer_is_refused(
    site: Site, running: Running, body: dict[str, Any]
) -> None:
    running.deploy("p", [APPROVE])
    run = start(site, "p")
    waiting(running, run)
    assert post(site, run, **body).status_code == 422


def test_an_answer_needs_a_node_that_asks(site: Site, running: Running) -> None:
    running.deploy("p", [{"id": "w", "uses": "wait", "with": {"event": "paid"}}])
    run = start(site, "p")
    waiting(running, run)
    assert post(site, run, approved=True).status_code == 409


def test_who_started_a_run_does_not_approve_it(site: Site, running: Running) -> None:
    running.deploy("p", [APPROVE | {"with": {"message": "Ship it?"}}])
    ada, bob = (
        site.token("operator", user="ada"),
        site.token("operator", user="bob"),
    )
    run = start(site, "p", by=ada)
    waiting(running, run)
    refused = post(site, run, by=ada, approved=True)
    assert (refused.status_code, "started this run" in refused.json()["detail"]) == (403, True)
    assert post(site, run, by=bob, approved=True).status_code == 202
    assert running.wait(run)["output"] == {"approved": True, "by": ["bob"], "form": None}


def test_what_was_approved_of_one_input_is_not_done_with_another(site: Site, running: Running) -> None:
    pay = {"id": "pay", "uses": "set", "with": {"paid": "${{ input.total }}"}}
    running.deploy("p", [APPROVE, pay])
    run = start(site, "p", input={"total": 1})
    waiting(running, run)
    assert post(site, run, approved=True).status_code == 202
    running.wait(run)
    refused = send(site, f"/runs/{run}/retry", None, {"from": "pay", "input": {"total": 1_000_000}})
    assert (refused.status_code, "ok was approved" in refused.json()["detail"]) == (422, True)
    again = send(site, f"/runs/{run}/retry", None, {"from": "pay"})
    assert running.wait(again.json()["id"])["output"] == {"paid": 1}
    anew = send(site, f"/runs/{run}/retry", None, {"from": "ok", "input": {"total": 1_000_000}})
    waiting(running, anew.json()["id"])


def test_only_the_approvers_answer_whatever_their_role(site: Site, running: Running) -> None:
    project = {"groups": {"leads": ["eve"]}}
    node = APPROVE | {"with": {"message": "Ship it?", "approvers": ["leads", "dan"]}}
    running.deploy("p", [node], project=project)
    run = start(site, "p")
    waiting(running, run)
    bob, eve = site.token("operator", user="bob"), site.token("viewer", user="eve")
    assert post(site, run, by=bob, approved=True).status_code == 403
    assert post(site, run, by=eve, event="paid").status_code == 403
    assert post(site, run, by=eve, approved=False).status_code == 202
    assert running.wait(run)["output"]["approved"] is False


def test_an_answer_without_the_form_that_is_asked_for_names_the_option(site: Site, running: Running) -> None:
    running.deploy("p", [APPROVE | {"with": APPROVE["with"] | {"form": {"type": "object"}}}])  # type: ignore[operator]
    run = start(site, "p")
    waiting(running, run)
    app = typer.Typer()
    posting.register(app)
    environ = {"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN}
    refused = CliRunner().invoke(app, ["answer", run, "yes"], env=environ)
    assert isinstance(refused.exception, MisusedError)
    assert "the node asks for a form" in str(refused.exception)
    assert "--form" in str(refused.exception)
    given = CliRunner().invoke(app, ["answer", run, "yes", "--form", "{}"], env=environ)
    assert given.exit_code == 0


def test_a_form_that_does_not_fit_is_refused_with_the_reasons(site: Site, running: Running) -> None:
    form = {"type": "object", "required": ["when"], "properties": {"when": {"type": "string"}}}
    running.deploy("p", [APPROVE | {"with": APPROVE["with"] | {"form": form}}])  # type: ignore[operator]
    run = start(site, "p")
    waiting(running, run)
    refused = post(site, run, approved=True, form={"when": 3})
    assert (refused.status_code, refused.json()["problems"][0]["path"]) == (422, "form")
    refused = post(site, run, approved=True)
    assert [one["message"] for one in refused.json()["problems"]] == [
        "the node asks for a form, and there is none",
        '"when" is a required property',
    ]
    assert post(site, run, approved=True, form={"when": "now"}).status_code == 202
    assert running.wait(run)["output"]["form"] == {"when": "now"}


def test_two_that_ask_are_told_apart(site: Site, running: Running) -> None:
    branches = {"a": [APPROVE | {"id": "one"}], "b": [APPROVE | {"id": "two"}]}
    running.deploy("p", [{"id": "both", "uses": "parallel", "branches": branches}])
    run = start(site, "p")
    waiting(running, run)
    unclear = post(site, run, approved=True)
    assert (unclear.status_code, "both/one, both/two" in unclear.json()["detail"]) == (409, True)
    assert post(site, run, approved=True, node="one").status_code == 202
    assert post(site, run, approved=False, node="both/two").status_code == 202
    output = running.wait(run)["output"]
    assert (output["a"]["approved"], output["b"]["approved"]) == (True, False)


BIG = {"id": "big", "uses": "set", "with": {"text": "${{ trigger.body.text }}"}}


def test_a_large_output_is_kept_apart_and_can_be_used_and_had_whole(
    site: Site, running: Running, tmp_path: Path
) -> None:
    after = {"id": "after", "uses": "set", "with": {"size": "${{ size(nodes.big.text) }}"}}
    nap = {"id": "nap", "uses": "delay", "with": {"for": "50ms"}}
    running.deploy("p", [BIG, nap, after, {"id": "last", "uses": "set", "with": {"all": "${{ nodes.big }}"}}])
    text = "x" * 400_000
    run = running.start("p", {"text": text})
    found = running.wait(run)
    assert running.spans(run)["after"]["output"] == {"size": 400_000}
    assert "$blob" in found["output"]
    shown = site.http.get(f"/runs/{run}").json()
    assert (shown["output"], shown["outputSize"] > 400_000) == (None, True)
    big = next(node for node in shown["nodes"] if node["id"] == "big")
    assert httpx.get(site.url + big["outputUrl"], headers=site.http.headers).json() == {"text": text}
    assert httpx.get(site.url + shown["outputUrl"], headers=site.http.headers).json() == {
        "all": {"text": text}
    }
    with running.database.connection() as c:
        [[rows]] = c.execute("SELECT max(length(output::text)) FROM spans").fetchall()
    assert rows < 200


def test_a_large_output_leads_to_the_attempt_that_gave_it(site: Site, running: Running) -> None:
    text = {"text": "${{ trigger.body.text }}${{ run.attempt }}"}
    no = {"id": "no", "uses": "fail", "with": {"message": "no", "retry": True}}
    retry = {"attempts": 2, "delay": "10ms", "jitter": False}
    running.deploy("p", [BIG | {"with": text}, no], retry=retry)
    run = running.start("p", {"text": "x" * 400_000})
    running.wait(run)
    for attempt in (1, 2):
        big = site.http.get(f"/runs/{run}?attempt={attempt}").json()["nodes"][0]
        given = httpx.get(site.url + big["outputUrl"], headers=site.http.headers).json()
        assert given["text"][-2:] == f"x{attempt}"


def test_the_output_of_a_node_that_is_not_there_is_not_found(site: Site, running: Running) -> None:
    deep = long = "n" * 60
    nodes: list[dict[str, Any]] = [{"id": deep, "uses": "set", "with": {"x": 1}}]
    for depth in range(4):
        id_ = f"{long}{depth}"
        nodes = [{"id": id_, "uses": "branch", "if": "${{ true }}", "then": nodes}]
        deep = f"{id_}/{deep}"
    running.deploy("p", [*nodes, {"id": "z", "uses": "set", "when": "${{ false }}", "with": 1}])
    run = running.start("p")
    running.wait(run)
    found = {
        path: site.http.get(f"/runs/{run}/output", params={"node": path}) for path in (deep, "z", "nope")
    }
    assert (found[deep].status_code, found[deep].json()) == (200, {"x": 1})
    assert (found["z"].status_code, found["z"].json()) == (200, None), "skipped: it gave nothing"
    assert found["nope"].status_code == 404


def test_what_only_looks_like_a_reference_stays_what_it_is(site: Site, running: Running) -> None:
    fake = {"id": "a", "uses": "set", "with": {"$blob": "0" * 64, "size": 3}}
    nap = {"id": "nap", "uses": "delay", "with": {"for": "10ms"}}
    running.deploy("p", [fake, nap, {"id": "b", "uses": "set", "with": {"v": "${{ nodes.a }}"}}])
    run = running.start("p")
    assert running.wait(run)["output"] == {"v": {"$blob": "0" * 64, "size": 3}}
    assert site.http.get(f"/runs/{run}/output?node=a").json() == {"$blob": "0" * 64, "size": 3}


def test_a_large_output_that_was_lost_is_a_clear_error(site: Site, running: Running, tmp_path: Path) -> None:
    nap = {"id": "nap", "uses": "delay", "with": {"for": "300ms"}}
    running.deploy("p", [BIG, nap, {"id": "b", "uses": "set", "with": {"v": "${{ nodes.big }}"}}])
    run = running.start("p", {"text": "x" * 400_000})
    waiting(running, run)
    for blob in (tmp_path / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()
    error = running.wait(run)["error"]
    assert (error["type"], error["node"]) == ("blob_missing", "b")
    assert site.http.get(f"/runs/{run}/output?node=big").status_code == 404


def test_a_secret_output_is_not_had_whole_either(site: Site, running: Running) -> None:
    loop = {"id": "each", "uses": "for-each", "items": [1], "do": [BIG | {"secret": True}]}
    running.deploy("p", [loop, {"id": "z", "uses": "set", "with": {"x": 1}}])
    run = running.start("p", {"text": "hush"})
    running.wait(run)
    answer = site.http.get(f"/runs/{run}").text
    assert answer.count("hush") == 1, "in what started it, and nowhere else"
    for path in ("each[0]/big", "each"):
        refused = site.http.get(f"/runs/{run}/output", params={"node": path})
        assert (refused.status_code, "hush" in refused.text) == (403, False)
