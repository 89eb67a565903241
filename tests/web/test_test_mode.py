"""Test mode: drafts run for real, and nothing of them is live."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_site import Site
from git_work import Work
from running import Running, sweeper

from store import drafts

SCRIPT = "def main(order):\n    return {'total': order['price'] * 2}\n"


def pattern(name: str, *nodes: str, head: str = "") -> str:
    listed = "".join(f"    - {node}\n" for node in nodes)
    return f"apiVersion: weft/v1\nkind: Pattern\nmetadata: {{name: {name}}}\nspec:\n{head}  nodes:\n{listed}"


ORDERS = pattern(
    "orders",
    "{id: take, uses: set, with: {price: '${{ input.price }}'}}",
    "{id: add, uses: script, with: {file: scripts/add.py, input: '${{ nodes.take }}'}}",
    "{id: told, uses: call, with: {pattern: tell, input: '${{ nodes.add.total }}'}}",
    head="  variables: {greeting: hello}\n",
)
TELL = pattern(
    "tell",
    "{id: send, uses: http, with: {url: 'http://127.0.0.1:9/'}}",
    "{id: said, uses: set, with: {of: '${{ input }}', got: '${{ nodes.send }}'}}",
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
def timers(site: Site, redis_url: str) -> Iterator[None]:
    with sweeper(Running(site.database, redis_url)):
        yield


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
    return site.ended(answer.json()["id"])


def outputs(run: dict[str, Any]) -> dict[str, Any]:
    return {node["path"]: node["output"] for node in run["nodes"]}


def test_a_draft_document_runs_for_real_and_nothing_is_deployed(site: Site, work: Work) -> None:
    draft = ORDERS.replace("input.price", "input.price + 1")
    with site.worker():
        run = ended(site, try_out(site, document=draft, **SENT))
    assert (run["status"], run["mode"], run["trigger"]) == ("completed", "test", "manual")
    assert run["deployment"] is None
    assert (run["environment"], run["version"]["number"], run["actor"]) == ("test", None, "admin")
    assert outputs(run)["add"] == {"total": 10}
    assert run["output"] == {"of": 10, "got": {"status": 200}}
    assert site.http.get("/deployments").json()["items"] == []
    [one] = site.http.get("/patterns/orders/versions").json()["items"]
    assert one["number"] == 1
    site.deploy("live")
    live = site.run("live")
    [listed] = site.http.get("/runs?mode=test&roots=true").json()["items"]
    assert listed["id"] == run["id"]
    [listed] = site.http.get("/runs?mode=live").json()["items"]
    assert (listed["id"], listed["mode"], listed["deployment"]) == (live, "live", "live")
    assert len(site.http.get("/runs?roots=true").json()["items"]) == 2
    assert site.http.get("/runs?deployment=orders").json()["items"] == []
    assert site.http.get("/runs?mode=tests").status_code == 422


def test_what_it_calls_is_a_test_run_and_a_stub_reaches_into_it(site: Site, work: Work) -> None:
    with site.worker():
        run = ended(site, try_out(site, **SENT))
    [_, _, told] = run["nodes"]
    called = site.http.get(f"/runs/{told['childRunId']}").json()
    assert (called["mode"], called["deployment"], called["trigger"]) == ("test", None, "call")
    [send, said] = called["nodes"]
    assert (send["status"], send["output"]) == ("completed", {"status": 200})
    assert [line["message"] for line in send["log"]] == ["stubbed: the test run did not run this node"]
    assert said["log"] == []
    found = site.http.get("/runs?mode=test").json()["items"]
    assert [one["id"] for one in found] == [called["id"], run["id"]]


def test_a_stubbed_node_gets_no_real_secret_and_one_that_runs_does(site: Site, work: Work) -> None:
    site.http.put("/secrets/KEY", json={"value": "correct horse"})
    code = "def main(k):\\n    return [k, len(k)]\\n"
    with_ = f'with: {{code: "{code}", input: "${{{{ secrets.KEY }}}}"}}'
    draft = pattern(
        "orders", f"{{id: runs, uses: script, {with_}}}", f"{{id: stubbed, uses: script, {with_}}}"
    )
    with site.worker():
        run = ended(site, try_out(site, document=draft, stubs={"stubbed": "given"}))
    assert outputs(run) == {"runs": ["***", 13], "stubbed": "given"}
    assert [node.get("secrets") for node in run["nodes"]] == [["KEY"], None]
    [use] = site.http.get("/secrets/KEY/uses").json()["items"]
    assert (use["node"], use["environment"], use["deployment"]) == ("runs", "test", None)


def test_without_anything_it_is_what_the_default_branch_holds(site: Site, work: Work) -> None:
    with site.worker():
        run = ended(site, try_out(site, **SENT))
    assert run["version"]["number"] == 1
    assert outputs(run)["add"] == {"total": 8}


def test_a_branch_is_tried_as_it_was_pushed(site: Site, work: Work) -> None:
    work.git("checkout", "--quiet", "-b", "ada/triple")
    work.commit({"scripts/add.py": SCRIPT.replace("2", "3")})
    work.push("ada/triple")
    with site.worker():
        run = ended(site, try_out(site, ref="ada/triple", **SENT))
    assert outputs(run)["add"] == {"total": 12}
    assert try_out(site, ref="ada/none", **SENT).status_code == 404


def test_files_of_a_work_tree_take_the_place_of_those_that_were_pushed(site: Site, work: Work) -> None:
    script = {"base64": base64.b64encode(SCRIPT.replace("2", "5").encode()).decode()}
    moved = {"patterns/sub/tell.yaml": TELL.replace("of:", "now:"), "scripts/add.py": script}
    with site.worker():
        run = ended(site, try_out(site, files=moved, **SENT))
    assert run["output"] == {"now": 20, "got": {"status": 200}}
    gone = try_out(site, files={"scripts/add.py": None}, **SENT)
    assert gone.status_code == 422
    assert gone.json()["problems"][0]["code"] == "missing-asset"


def test_a_pattern_can_be_tried_before_anything_was_pushed(site: Site) -> None:
    site.reconciler.ensure("default")
    draft = pattern("first", "{id: a, uses: set, with: {x: 1}}")
    with site.worker():
        run = ended(site, try_out(site, "first", document=draft))
    assert run["output"] == {"x": 1}


def test_problems_say_where_they_are_and_nothing_is_stored(site: Site, work: Work) -> None:
    draft = ORDERS.replace("nodes.take }}", "nodes.tak }}")
    answer = try_out(site, document=draft, **SENT)
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:weft:problem:draft-has-problems")
    [problem] = answer.json()["problems"]
    line = draft.splitlines().index(next(text for text in draft.splitlines() if "nodes.tak " in text)) + 1
    assert (problem["path"], problem["line"]) == ("patterns/orders.yaml", line)
    assert problem["column"] > 1
    assert "tak" in problem["message"]
    assert site.execute("SELECT count(*) FROM versions") == [(2,)]
    assert site.http.get("/runs").json()["items"] == []


def test_what_is_wrong_elsewhere_in_the_repository_stops_no_test(site: Site, work: Work) -> None:
    work.git("checkout", "--quiet", "-b", "ada/broken")
    work.commit({"patterns/other.yaml": "kind: Pattern\nspec: {nodes: 3}\n"})
    work.push("ada/broken")
    assert try_out(site, ref="ada/broken", **SENT).status_code == 202
    assert try_out(site, "other", ref="ada/broken").status_code in (404, 422)


def test_a_stub_may_fail_and_count_attempts(site: Site, work: Work, timers: None) -> None:
    tried = "{id: get, uses: http, with: {url: 'http://127.0.0.1:9/'}, retry: {attempts: 3, delay: 10ms}}"
    draft = pattern("orders", tried)
    flaky = {"$attempts": [{"$error": {"type": "connection", "message": "gone"}}, {"status": 201}]}
    with site.worker():
        run = ended(site, try_out(site, document=draft, stubs={"get": flaky}))
        failed = {"$error": {"type": "connection", "message": "gone", "retry": False}}
        other = ended(site, try_out(site, document=draft, stubs={"get": failed}))
    assert (run["status"], run["output"], run["nodes"][0]["attempt"]) == ("completed", {"status": 201}, 2)
    assert (other["status"], other["error"]["message"]) == ("failed", "gone")


def test_stubs_know_the_rounds_of_the_loops_around_them(site: Site, work: Work) -> None:
    each = "{id: each, uses: for-each, items: [1, 2], do: [{id: get, uses: fail, with: {message: no}}]}"
    with site.worker():
        run = ended(
            site, try_out(site, document=pattern("orders", each), stubs={"get": {"$rounds": ["a", "b"]}})
        )
    assert run["output"] == ["a", "b"]


def test_what_text_cannot_hold_goes_through_all_of_it(site: Site, work: Work) -> None:
    seen = "{id: a, uses: set, with: {v: '${{ vars.greeting }}', t: '${{ trigger.body }}'}}"
    draft = pattern("orders", seen, head="  variables: {greeting: hello}\n")
    odd = "\0é☃"
    with site.worker():
        run = ended(site, try_out(site, document=draft, variables={"greeting": odd}, trigger={"body": odd}))
    assert run["output"] == {"v": odd, "t": odd}
    assert len(site.http.get("/runs?environment=test").json()["items"]) == 1
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert try_out(site, document=draft, trigger={"body": deep}).status_code == 422


def test_attempts_are_counted_through_those_of_the_container_around_the_node(
    site: Site, work: Work, timers: None
) -> None:
    inner = "do: [{id: get, uses: fail, with: {message: no}}]"
    each = f"{{id: each, uses: for-each, items: [1, 2], retry: {{attempts: 3, delay: 10ms}}, {inner}}}"
    gone = {"$error": {"type": "connection", "message": "gone"}}
    stub = {"$rounds": ["a", {"$attempts": [gone, gone, "b"]}]}
    with site.worker():
        run = ended(site, try_out(site, document=pattern("orders", each), stubs={"get": stub}))
    assert (run["status"], run["output"]) == ("completed", ["a", "b"])
    assert next(node["attempt"] for node in run["nodes"] if node["path"] == "each") == 3


def test_a_pattern_that_is_not_there_is_not_found(site: Site, work: Work) -> None:
    for sent in ({}, {"document": ORDERS}, {"ref": "main"}):
        answer = try_out(site, "invoices", **sent)
        assert answer.status_code == 404, answer.text
        assert "no pattern invoices" in answer.json()["detail"]
    assert try_out(site, "No").status_code == 404


def test_trigger_variables_and_environment_are_those_that_are_sent(site: Site, work: Work) -> None:
    seen = (
        "{id: a, uses: set, with: {t: '${{ trigger }}', v: '${{ vars.greeting }}', d: '${{ deployment }}'}}"
    )
    draft = pattern("orders", seen, head="  variables: {greeting: hello}\n")
    sent = {"trigger": {"body": {"id": 7}, "headers": {"X-Of": "me"}}, "variables": {"greeting": "hi"}}
    with site.worker():
        run = ended(site, try_out(site, document=draft, environment="staging", **sent))
    taken = run["output"]["t"]
    assert (taken["kind"], taken["method"], taken["body"]) == ("webhook", "POST", {"id": 7})
    assert taken["headers"] == {"x-of": "me"}
    assert run["output"]["v"] == "hi"
    assert run["output"]["d"] == {"name": "orders", "environment": "staging"}
    assert run["environment"] == "staging"
    assert len(site.http.get("/runs?environment=staging").json()["items"]) == 1
    assert site.http.get("/runs?environment=production").json()["items"] == []


@pytest.mark.parametrize(
    ("sent", "path"),
    [
        ({"document": 3}, "document"),
        ({"ref": ""}, "ref"),
        ({"environment": "No"}, "environment"),
        ({"files": []}, "files"),
        ({"files": {"../x": "a"}}, "files.../x"),
        ({"files": {".git/config": "a"}}, "files..git/config"),
        ({"files": {"scripts/add.py": 3}}, "files.scripts/add.py"),
        ({"files": {"scripts/add.py": {"base64": "?"}}}, "files.scripts/add.py"),
        ({"trigger": "webhook"}, "trigger"),
        ({"trigger": {"kind": "none"}}, "trigger.kind"),
        ({"stubs": []}, "stubs"),
        ({"stubs": {"add": {"$errors": {}}}}, "stubs.add.$errors"),
        ({"stubs": {"ad": 1}}, "stubs.ad"),
        ({"stubs": {"told/sent": 1}}, "stubs.told/sent"),
        ({"stubs": {"a b": 1}}, "stubs.a b"),
        ({"variables": {"greetin": 1}}, "variables.greetin"),
        ({"inputs": 1}, "inputs"),
    ],
)
def test_what_is_sent_wrong_is_told(site: Site, work: Work, sent: dict[str, Any], path: str) -> None:
    answer = try_out(site, **sent)
    assert answer.status_code == 422
    assert [problem["path"] for problem in answer.json()["problems"]] == [path]


def test_the_input_is_held_against_the_schema_of_the_draft(site: Site, work: Work) -> None:
    draft = pattern("orders", "{id: a, uses: log, with: {message: x}}", head="  input: {type: integer}\n")
    answer = try_out(site, document=draft, input="x")
    assert (answer.status_code, answer.json()["type"]) == (422, "urn:weft:problem:invalid-input")
    assert try_out(site, document=draft, input=1).status_code == 202


def asked_by(site: Site, token: str, path: str, sent: Mapping[str, Any]) -> httpx.Response:
    with site.client(token) as client:
        return client.post(path, json=sent)


def test_whoever_may_push_may_test_and_end_and_repeat_tests_but_no_live_runs(site: Site, work: Work) -> None:
    assert asked_by(site, site.token("viewer"), "/patterns/orders/test", SENT).status_code == 403
    editor = site.token("editor")
    run = asked_by(site, editor, "/patterns/orders/test", SENT)
    assert run.status_code == 202
    assert asked_by(site, editor, f"/runs/{run.json()['id']}/events", {"event": "paid"}).status_code == 202
    assert asked_by(site, editor, f"/runs/{run.json()['id']}/cancel", {}).status_code == 202
    site.deploy("live")
    live = site.run("live")
    assert asked_by(site, editor, f"/runs/{live}/cancel", {}).status_code == 403
    assert asked_by(site, editor, f"/runs/{live}/retry", {}).status_code == 403
    assert asked_by(site, editor, f"/runs/{live}/events", {"event": "paid"}).status_code == 403
    with site.client(site.token("editor", organisation="other")) as other:
        assert other.get(f"/runs/{run.json()['id']}").status_code == 404
        assert other.get("/runs").json()["items"] == []


PROJECT = """apiVersion: weft/v1
kind: Project
metadata: {name: shop}
spec:
  groups: {chiefs: [carol]}
  protect: {main: {push: [chiefs]}}
"""


def test_where_something_is_live_only_what_could_be_live_there_is_tested(site: Site, work: Work) -> None:
    work.commit({"weft.yaml": PROJECT, "deployments/orders.yaml": DEPLOYMENT})
    assert not work.push(admin=True).refused

    def asked(user: str, **more: Any) -> int:
        token = site.token("editor", user=user)
        return asked_by(site, token, "/patterns/orders/test", {**SENT, **more}).status_code

    assert asked("dave", document=ORDERS, environment="production") == 403
    assert asked("carol", document=ORDERS, environment="production") == 202
    assert asked("dave", document=ORDERS, environment="staging") == 202
    assert asked("dave", environment="production") == 202


def test_a_secret_is_for_drafts_of_those_who_could_push_them(site: Site, work: Work) -> None:
    work.commit({"weft.yaml": PROJECT})
    assert not work.push(admin=True).refused
    thief = pattern(
        "orders", "{id: a, uses: script, with: {code: 'def main(x): return x[::-1]', input: '%s'}}"
    )

    def asked(user: str, what: str) -> httpx.Response:
        body = {"document": thief.replace("%s", what), "environment": "nowhere"}
        return asked_by(site, site.token("editor", user=user), "/patterns/orders/test", body)

    refused = asked("dave", "${{ secrets.DATABASE }}")
    assert (refused.status_code, "orders names secrets" in refused.json()["detail"]) == (403, True)
    assert asked("carol", "${{ secrets.DATABASE }}").status_code == 202
    assert asked("dave", "nothing").status_code == 202


def test_a_bad_end_is_nobodys_but_the_testers(site: Site, work: Work, timers: None) -> None:
    bad = pattern(
        "orders",
        "{id: a, uses: fail, with: {message: no, retry: true}}",
        head="  retry: {attempts: 2, delay: 10ms}\n",
    )
    breaker = "spec: {pattern: orders, circuitBreaker: {failures: 1, within: 1h}, concurrency: {limit: 1}}"
    listener = pattern("on-error", "{id: b, uses: set, with: {}}", head="  on: {error: {from: ['*']}}\n")
    work.commit(
        {
            "patterns/orders.yaml": bad,
            "patterns/on-error.yaml": listener,
            "deployments/orders.yaml": DEPLOYMENT.replace("spec: {pattern: orders}", breaker),
            "deployments/on-error.yaml": DEPLOYMENT.replace("orders", "on-error"),
        }
    )
    pushed = work.push()
    assert not pushed.refused, pushed.lines
    with site.worker():
        runs = [ended(site, try_out(site, environment="production")) for _ in range(2)]
    assert [run["status"] for run in runs] == ["dead_letter", "dead_letter"]
    assert site.http.get("/dead-letters").json()["items"] == []
    assert len(site.http.get("/runs").json()["items"]) == 2
    assert site.http.get("/deployments/orders").json()["status"] == "ready"


def test_a_test_is_repeated_as_a_test_of_the_same_draft(site: Site, work: Work) -> None:
    draft = ORDERS.replace("input.price", "input.price + 1")
    stubs = {"told/send": {"$error": {"type": "connection", "message": "gone", "retry": False}}}
    with site.worker():
        run = ended(site, try_out(site, document=draft, input={"price": 4}, stubs=stubs))
        assert run["status"] == "failed"
        again = ended(site, site.http.post(f"/runs/{run['id']}/retry", json={"from": "failed"}))
    assert (again["mode"], again["trigger"], again["replayOf"]) == ("test", "replay", run["id"])
    assert (again["version"], again["status"]) == (run["version"], "failed")
    assert outputs(again)["add"] == {"total": 10}
    live = site.http.post(f"/runs/{run['id']}/retry", json={"version": "live"})
    assert live.status_code == 409


def test_only_so_many_test_runs_wait(site: Site, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafts, "MOST_OPEN", 2)
    first = try_out(site, **SENT)
    assert try_out(site, **SENT).status_code == 202
    full = try_out(site, **SENT)
    assert (full.status_code, full.json()["type"]) == (429, "urn:weft:problem:too-many-test-runs")
    site.http.post(f"/runs/{first.json()['id']}/cancel")
    with site.worker():
        site.execute("UPDATE runs SET due_at = now()")
        site._ring(site.rung)
        site.ended(first.json()["id"])
    assert site.http.post(f"/runs/{first.json()['id']}/retry").status_code == 202
    assert site.http.post(f"/runs/{first.json()['id']}/retry").status_code == 429
    assert try_out(site, **SENT).status_code == 429


def test_a_body_may_be_larger_than_others_up_to_a_limit(site: Site, work: Work) -> None:
    big = {"scripts/add.py": SCRIPT + "#" * 2_000_000}
    assert try_out(site, files=big, **SENT).status_code == 202
    assert try_out(site, files={"scripts/add.py": "#" * 9_000_000}, **SENT).status_code == 413
