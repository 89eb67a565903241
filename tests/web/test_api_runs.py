"""Starting, cancelling and repeating runs, over real HTTP."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from api_site import Site
from eventually import eventually

from store.runs import RunStatus
from store.spans import Span, SpanStatus
from web.api import starting
from web.contents import Content


def start(site: Site, name: str, body: Any = None, **query: str) -> httpx.Response:
    return site.http.post(f"/deployments/{name}/runs", json={} if body is None else body, params=query)


def retry(site: Site, run: str, **body: Any) -> httpx.Response:
    return site.http.post(f"/runs/{run}/retry", json=body)


def span(path: str, status: SpanStatus = SpanStatus.COMPLETED, **fields: Any) -> Span:
    return Span(path, status, 1, 1.0, 2.0, **fields)


def test_a_run_that_was_started_is_durable_and_announced(site: Site) -> None:
    version = site.deploy("orders")
    answer = start(site, "orders", {"input": {"order": 7}, "trigger": "manual"})
    run = answer.json()
    assert answer.status_code == 202
    assert (run["status"], run["input"], run["trigger"]) == ("pending", {"order": 7}, "manual")
    assert (run["version"], run["actor"]) == ({"id": version, "number": 1}, "admin")
    assert site.rung == [run["id"]]
    [(status, trigger)] = site.execute("SELECT status, trigger FROM runs WHERE id = %s", run["id"])
    assert (status, trigger["kind"]) == ("pending", "manual")
    assert start(site, "orders").json()["trigger"] == "api"


def test_an_input_that_does_not_fit_is_422_with_every_reason_and_starts_nothing(site: Site) -> None:
    schema = {
        "type": "object",
        "required": ["order"],
        "properties": {"order": {"type": "integer"}, "tags": {"items": {"type": "string"}}},
    }
    site.deploy("orders", {"input": schema, "nodes": []})
    answer = start(site, "orders", {"input": {"order": "seven", "tags": ["a", 2]}})
    assert answer.status_code == 422
    assert {problem["path"] for problem in answer.json()["problems"]} == {"input.order", "input.tags[1]"}
    assert "'seven'" in answer.text or '\\"seven\\"' in answer.text
    assert start(site, "orders").status_code == 422
    assert site.execute("SELECT id FROM runs") == []
    assert site.rung == []
    assert start(site, "orders", {"input": {"order": 7}}).status_code == 202


def test_an_input_is_checked_against_the_version_that_the_run_is_bound_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.deploy("orders", {"input": {"type": "integer"}, "nodes": []})
    check = starting.check_input

    def check_while_something_else_goes_live(content: Content, value: Any) -> None:
        check(content, value)
        site.deploy("orders", {"input": {"type": "string"}, "nodes": []}, number=2)

    monkeypatch.setattr(starting, "check_input", check_while_something_else_goes_live)
    assert start(site, "orders", {"input": 7}).status_code == 422
    assert site.execute("SELECT id FROM runs") == []
    assert site.rung == []


def test_a_schema_that_came_past_the_gate_never_makes_the_server_fetch_an_address(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.3)
        address = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/schema"
        site.deploy("orders", {"input": {"$ref": address}, "nodes": []})
        assert start(site, "orders", {"input": 1}).json()["type"] == "urn:weft:problem:internal-error"
        with pytest.raises(TimeoutError):
            elsewhere.accept()


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        ("paused", 409, "state: active"),
        ("archived", 410, "another name"),
        ("undeployed", 404, "not deployed"),
    ],
)
def test_what_is_not_active_says_what_to_do(site: Site, state: str, status: int, said: str) -> None:
    site.deploy("orders")
    old = site.run("orders", status=RunStatus.FAILED)
    site.deploy("orders", state=state)
    for answer in (start(site, "orders"), retry(site, old)):
        assert (answer.status_code, said in answer.json()["detail"]) == (status, True)
    assert len(site.execute("SELECT id FROM runs")) == 1


BODIES = (
    (b"{", 400),
    (b'{"input": NaN}', 400),
    (b'{"input": "\\ud800"}', 400),
    (b"\xff\xfe", 400),
    (b"[]", 422),
    (b'"text"', 422),
    (b'{"inptu": 1}', 422),
    (b'{"trigger": "schedule"}', 422),
    (b'{"input": ' + b"[" * 300 + b"]" * 300 + b"}", 422),
    (b'{"input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
    (b'{"input": "' + b"x" * (1 << 20) + b'"}', 413),
    (b'{"input": "\\u0000"}', 202),
    (b"", 202),
    (b'{"input": null}', 202),
)


def test_odd_bodies_are_answered_and_never_break_the_server(site: Site) -> None:
    site.deploy("orders")
    for body, status in BODIES:
        answer = site.http.post("/deployments/orders/runs", content=body)
        assert answer.status_code == status, body[:40]
        assert len(site.execute("DELETE FROM runs RETURNING id")) == (status == 202)


def test_a_body_of_unknown_length_is_cut_off_at_the_limit(site: Site) -> None:
    site.deploy("orders")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 200 << 20:
            sent += 1 << 16
            yield b"x" * (1 << 16)

    try:
        answer = site.http.post("/deployments/orders/runs", content=endless())
        assert answer.status_code == 413
    except httpx.TransportError:
        pass  # the server hung up while we were still sending
    assert sent < 100 << 20


def test_waiting_gives_the_ended_run_or_after_the_time_the_one_that_goes_on(site: Site) -> None:
    site.deploy("orders")
    answer = start(site, "orders", wait="100ms")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")

    def finish() -> None:
        site.execute("SELECT pg_sleep(0.3)")
        site.execute("UPDATE runs SET status = 'completed', output = '42', ended_at = now()")

    finisher = threading.Thread(target=finish)
    finisher.start()
    answer = start(site, "orders", wait="20s")
    finisher.join()
    assert (answer.status_code, answer.json()["status"], answer.json()["output"]) == (200, "completed", 42)
    assert answer.elapsed.total_seconds() < 5


def test_a_wrong_wait_starts_nothing(site: Site) -> None:
    site.deploy("orders")
    for wait in ("0s", "6m", "forever", "-1s", ""):
        assert start(site, "orders", wait=wait).status_code == 422
    assert site.execute("SELECT id FROM runs") == []


def test_many_wait_at_once_without_a_thread_each(site: Site) -> None:
    site.deploy("orders")
    before = threading.active_count()
    answers: list[httpx.Response] = []
    waiters = [
        threading.Thread(target=lambda: answers.append(start(site, "orders", wait="20s"))) for _ in range(60)
    ]
    for waiter in waiters:
        waiter.start()
    while site.execute("SELECT count(*) FROM runs")[0][0] < 60:
        pass
    assert threading.active_count() - before - 60 < 50
    site.execute("UPDATE runs SET status = 'completed', ended_at = now()")
    for waiter in waiters:
        waiter.join()
    assert {answer.status_code for answer in answers} == {200}


def test_who_waits_is_answered_when_the_service_stops(site: Site) -> None:
    site.deploy("orders")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(start, site, "orders", wait="20s")
        eventually(lambda: len(site.execute("SELECT id FROM runs")) == 1)
        site.api.leave()
        answer = waiting.result(timeout=10)
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


def test_cancelling_asks_the_run_and_all_it_called_to_end(site: Site) -> None:
    site.deploy("orders")
    parent, child, other = (site.run("orders") for _ in range(3))
    site.execute("UPDATE runs SET status = 'waiting', parent_id = %s WHERE id = %s", parent, child)
    answer = site.http.post(f"/runs/{parent}/cancel")
    assert answer.status_code == 202
    assert sorted(site.rung) == sorted([parent, child])
    cancelled = site.execute("SELECT id::text FROM runs WHERE cancelled ORDER BY id")
    assert [row[0] for row in cancelled] == sorted([parent, child])
    assert other not in site.rung


def test_a_run_that_has_ended_cannot_be_cancelled_and_one_that_has_not_cannot_be_retried(site: Site) -> None:
    site.deploy("orders")
    ended, pending = site.run("orders", status=RunStatus.FAILED), site.run("orders")
    refused = site.http.post(f"/runs/{ended}/cancel")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:weft:problem:run-ended")
    assert "failed" in refused.json()["detail"]
    refused = retry(site, pending)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:weft:problem:run-not-ended")
    assert site.rung == []


ABC = {"nodes": [{"id": name, "uses": "set", "with": {}} for name in ("a", "b", "c")]}


def test_a_retry_from_the_start_is_a_new_run_of_the_same_version_and_trigger(site: Site) -> None:
    version = site.deploy("orders", ABC)
    old = site.run("orders", status=RunStatus.FAILED, spans=[span("a", output="1")], input='{"order": 7}')
    site.deploy("orders", ABC, number=2)
    answer = retry(site, old)
    run = answer.json()
    assert (answer.status_code, run["status"], run["trigger"]) == (202, "pending", "replay")
    assert (run["replayOf"], run["version"]["id"], run["input"]) == (old, version, {"order": 7})
    assert run["id"] != old
    assert site.rung == [run["id"]]
    assert site.http.get(f"/runs/{run['id']}").json()["nodes"] == []
    [(lease, trigger)] = site.execute("SELECT lease, trigger FROM runs WHERE id = %s", run["id"])
    assert (lease, trigger) == (0, {"kind": "webhook"})
    assert site.http.get(f"/runs/{old}").json()["status"] == "failed"


def test_a_retry_from_the_failure_keeps_what_is_done(site: Site) -> None:
    site.deploy("orders", ABC)
    spans = [
        span("a", output='{"kept": 1}', log='[{"message": "m"}]'),
        span("b", SpanStatus.FAILED, error='{"type": "x"}'),
    ]
    old = site.run("orders", status=RunStatus.FAILED, spans=spans)
    run = retry(site, old, **{"from": "failed"}).json()["id"]
    [node] = site.http.get(f"/runs/{run}").json()["nodes"]
    assert (node["path"], node["output"], node["log"]) == ("a", {"kept": 1}, [{"message": "m"}])
    assert site.execute("SELECT lease FROM runs WHERE id = %s", run) == [(1,)]


def test_a_retry_from_a_node_redoes_it_and_all_behind_it(site: Site) -> None:
    site.deploy("orders", ABC)
    old = site.run("orders", status=RunStatus.COMPLETED, spans=[span(path, output="1") for path in "abc"])
    run = retry(site, old, **{"from": "b"}).json()["id"]
    assert [node["path"] for node in site.http.get(f"/runs/{run}").json()["nodes"]] == ["a"]
    refused = retry(site, old, **{"from": "nothing"})
    assert refused.status_code == 422
    assert "no such node" in refused.json()["detail"]
    refused = retry(site, old, **{"from": "failed"})
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:weft:problem:nothing-failed")


def test_a_retry_on_the_live_version_takes_its_nodes_and_checks_its_input(site: Site) -> None:
    site.deploy("orders", ABC)
    old = site.run("orders", status=RunStatus.FAILED, spans=[span("a", output="1"), span("gone", output="2")])
    changed = {**ABC, "input": {"type": "object"}}
    version = site.deploy("orders", changed, number=2)
    run = retry(site, old, version="live", input={}, **{"from": "failed"}).json()
    assert run["version"] == {"id": version, "number": 2}
    assert [node["path"] for node in site.http.get(f"/runs/{run['id']}").json()["nodes"]] == ["a"]
    assert retry(site, old, version="live", input=7).status_code == 422
    assert retry(site, old, input=7).json()["input"] == 7


def test_what_a_version_keeps_secret_no_retry_on_another_shows(site: Site) -> None:
    first, *others = ABC["nodes"]
    site.deploy("orders", {**ABC, "nodes": [{**first, "secret": True}, *others]})
    spans = [span("a", output='"hidden"'), span("b", SpanStatus.FAILED, error='{"type": "x"}')]
    old = site.run("orders", status=RunStatus.FAILED, spans=spans)
    site.deploy("orders", ABC, number=2)
    refused = retry(site, old, version="live", **{"from": "failed"})
    assert refused.status_code == 422
    assert refused.json()["problems"][0]["path"] == "version"
    assert "a is secret" in refused.json()["problems"][0]["message"]
    assert retry(site, old, version="live").status_code == 202
    kept = retry(site, old, **{"from": "failed"}).json()["id"]
    [node] = site.http.get(f"/runs/{kept}").json()["nodes"]
    assert (node["path"], node.get("output"), node["secret"]) == ("a", None, True)


def test_a_wrong_retry_makes_no_run(site: Site) -> None:
    site.deploy("orders", ABC)
    old = site.run("orders", status=RunStatus.FAILED)
    for body in ({"from": 3}, {"from": ""}, {"version": "2"}, {"form": "start"}, {"from": None}):
        assert retry(site, old, **body).status_code == 422
    assert len(site.execute("SELECT id FROM runs")) == 1


def test_a_called_run_is_not_retried_on_its_deployment_s_live_version(site: Site) -> None:
    site.deploy("orders", ABC)
    child = site.run("orders", status=RunStatus.FAILED)
    site.execute("UPDATE runs SET pattern = 'another' WHERE id = %s", child)
    assert retry(site, child, version="live").status_code == 409
    assert retry(site, child).status_code == 202


def test_a_retried_run_goes_on_behind_the_failure_in_a_real_worker(site: Site) -> None:
    steps = [
        {"id": "a", "uses": "set", "with": {"at": "${{ now() }}"}},
        {"id": "b", "uses": "fail", "when": "${{ input.broken }}"},
        {"id": "c", "uses": "set", "with": {"again": "${{ nodes.a.at }}"}},
    ]
    site.deploy("orders", {"nodes": steps})
    with site.worker():
        first = start(site, "orders", {"input": {"broken": True}}, wait="10s").json()["id"]
        ended = site.http.get(f"/runs/{first}").json()
        assert [node["status"] for node in ended["nodes"]] == ["completed", "failed"]
        at = ended["nodes"][0]["output"]["at"]
        second = retry(site, first, input={"broken": False}, **{"from": "failed"}).json()["id"]
        ended = site.ended(second)
    assert (ended["status"], ended["output"]) == ("completed", {"again": at})
    assert [node["status"] for node in ended["nodes"]] == ["completed", "skipped", "completed"]


def test_a_retry_from_inside_a_branch_keeps_the_other_nodes_of_it(site: Site) -> None:
    def stamp(name: str) -> dict[str, Any]:
        return {"id": name, "uses": "set", "with": {"at": "${{ now() }}"}}

    branch = {"id": "box", "uses": "branch", "if": "${{ true }}", "then": [stamp("a"), stamp("b")]}
    beside = {**stamp("beside"), "needs": []}
    site.deploy("orders", {"nodes": [stamp("first"), branch, stamp("last"), beside]})
    with site.worker():
        first = start(site, "orders", wait="10s").json()["id"]
        second = retry(site, first, **{"from": "box/b"}).json()["id"]
        site.ended(second)
    before, after = (outputs(site, run) for run in (first, second))
    assert before.keys() == after.keys()
    assert {path for path in before if before[path] == after[path]} == {"first", "box/a", "beside"}


def outputs(site: Site, run: str) -> dict[str, Any]:
    return {node["path"]: node["output"] for node in site.http.get(f"/runs/{run}").json()["nodes"]}
