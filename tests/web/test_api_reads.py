"""What is live and what ran, read over real HTTP."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from api_site import Site

from store import run_reads
from store.deployments import Condition
from store.runs import RunStatus
from store.spans import Span, SpanStatus
from web.api.encoding import Answer, stored


def ids(answer: Any) -> list[str]:
    return [run["id"] for run in answer.json()["items"]]


def span(path: str, started: float, status: SpanStatus = SpanStatus.COMPLETED, **fields: Any) -> Span:
    return Span(path, status, 1, started, started + 0.25, **fields)


SPEC = {
    "on": {"webhook": {"methods": ["POST", "PUT"]}, "schedule": [{"cron": "0 9 * * *"}], "call": {}},
    "variables": {"threshold": 1},
    "nodes": [{"id": "a", "uses": "set", "with": {}}],
}


def test_a_deployment_says_what_is_live_since_when_and_how_it_starts(site: Site) -> None:
    callee = site.deploy("notify", {"nodes": []})
    site.deploy("notify", {"nodes": []}, number=2)
    version = site.deploy("orders", SPEC, calls={"notify": callee}, source={"tag": "live"})
    found = site.http.get("/deployments/orders").json()
    assert (found["name"], found["pattern"], found["environment"]) == ("orders", "orders", "production")
    assert (found["state"], found["status"], found["source"]) == ("active", "ready", {"tag": "live"})
    assert found["version"] == {
        "id": version, "number": 1, "commit": "c" * 40, "author": "Ada <ada@example>", "message": "Change 1",
        "frozenAt": "2026-03-01T00:00:00.000Z",
    }  # fmt: skip
    hook = "http://weft.test/hooks/hook-default-orders"
    assert found["webhookUrl"] == hook
    webhook, schedule, call = found["triggers"]
    assert webhook == {"kind": "webhook", "url": hook, "methods": ["POST", "PUT"], "respond": "immediate"}
    assert (schedule["cron"], schedule["timezone"]) == ("0 9 * * *", "UTC")
    until_next = datetime.fromisoformat(schedule["nextAt"]) - datetime.now(UTC)
    assert timedelta(0) < until_next < timedelta(days=1)
    assert call == {"kind": "call"}
    assert found["dependencies"] == [{"pattern": "notify", "number": 1, "newest": 2}]
    assert (found["deployedBy"], found["commit"]) == ("ada", "c" * 40)


def test_a_deployment_s_own_schedules_replace_its_pattern_s_and_a_paused_one_does_not_tick(
    site: Site,
) -> None:
    site.deploy("orders", SPEC, schedules=[{"every": "15m"}])
    [schedule] = [
        t for t in site.http.get("/deployments/orders").json()["triggers"] if t["kind"] == "schedule"
    ]
    assert schedule["everyMs"] == 900_000
    assert schedule["nextAt"] is not None
    site.deploy("orders", SPEC, state="paused")
    [schedule] = [
        t for t in site.http.get("/deployments/orders").json()["triggers"] if t["kind"] == "schedule"
    ]
    assert schedule["cron"] == "0 9 * * *"
    assert schedule["nextAt"] is None


def test_a_stalled_deployment_says_why(site: Site) -> None:
    why = Condition("Stalled", True, "tag-not-found", "There is no tag live.", None, "2026-03-01T00:00:00Z")
    site.deploy("orders", conditions=[why])
    found = site.http.get("/deployments/orders").json()
    assert found["status"] == "stalled"
    assert found["conditions"][0]["message"] == "There is no tag live."


def test_deployments_are_filtered_and_paged_by_name(site: Site) -> None:
    for name in ("delta", "alpha", "charlie", "bravo"):
        site.deploy(name, environment="staging" if name < "bz" else "production")
    site.deploy("gone", state="undeployed")
    site.deploy("still", state="paused")

    def names(query: str) -> list[str]:
        return [one["name"] for one in site.http.get(f"/deployments?{query}").json()["items"]]

    assert names("") == ["alpha", "bravo", "charlie", "delta", "still"]
    assert names("state=undeployed") == ["gone"]
    assert names("state=paused&environment=staging") == []
    assert names("environment=staging&q=ra") == ["bravo"]
    assert names("pattern=delta") == ["delta"]
    assert names("q=%25") == []
    page = site.http.get("/deployments?limit=2").json()
    assert page["next"] == "bravo"
    assert names(f"limit=2&cursor={page['next']}") == ["charlie", "delta"]


def test_a_deployment_s_revisions_come_newest_first_in_pages(site: Site) -> None:
    for number in (1, 2, 3):
        site.deploy("orders", number=number)
    page = site.http.get("/deployments/orders/revisions?limit=2").json()
    assert [(one["revision"], one["version"]["number"]) for one in page["items"]] == [(3, 3), (2, 2)]
    assert page["items"][0]["actor"] == "ada"
    rest = site.http.get(f"/deployments/orders/revisions?limit=2&cursor={page['next']}").json()
    assert [one["revision"] for one in rest["items"]] == [1]
    assert rest["next"] is None


def test_a_pattern_s_versions_are_listed_and_read_whole(site: Site) -> None:
    for number in (1, 2, 3):
        site.deploy("orders", SPEC, number=number)
    site.deploy("another")
    patterns = site.http.get("/patterns?limit=1").json()
    assert patterns == {"items": [{"name": "another", "newest": 1}], "next": "another"}
    assert site.http.get("/patterns?cursor=another").json()["items"] == [{"name": "orders", "newest": 3}]
    page = site.http.get("/patterns/orders/versions?limit=2").json()
    assert [one["number"] for one in page["items"]] == [3, 2]
    rest = site.http.get(f"/patterns/orders/versions?cursor={page['next']}").json()
    assert [one["number"] for one in rest["items"]] == [1]
    one = site.http.get("/patterns/orders/versions/2").json()
    assert (one["number"], one["spec"], one["assets"], one["calls"]) == (2, SPEC, {}, {})


def test_an_answer_may_hold_what_orjson_does_not_write() -> None:
    answer = Answer({"big": 10**30, "lone": "\ud800", "stored": stored('{"x": 1.50}')})
    assert json.loads(bytes(answer.body)) == {"big": 10**30, "lone": "\ud800", "stored": {"x": 1.5}}


MISSING = """
    /runs/nothing /runs/00000000-0000-7000-8000-000000000000 /runs/%00 /runs/..%2f
    /deployments/None /deployments/UPPER /deployments/%00 /deployments/a'--/revisions
    /patterns/x/versions /patterns/%00/versions/1 /patterns/orders/versions/0 /patterns/orders/versions/-1
    /patterns/orders/versions/99999999999999999999 /patterns/orders/versions/%D9%A1
    /plan?head=nowhere /nothing /
"""


def test_what_is_not_there_is_a_404_that_names_it(site: Site) -> None:
    site.reconciler.ensure("default")
    site.deploy("orders")
    for path in MISSING.split():
        answer = site.http.get(path)
        assert answer.status_code == 404, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == 404


def test_a_path_outside_the_api_and_a_wrong_method_are_problem_documents_too(site: Site) -> None:
    assert site.http.get(f"{site.url}/nowhere").json()["type"] == "urn:weft:problem:not-found"
    wrong = site.http.delete("/runs")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "GET")
    assert wrong.json()["type"] == "urn:weft:problem:method-not-allowed"
    assert site.http.get("/deployments/orders/runs").headers["allow"] == "POST"
    head = site.http.head("/runs")
    assert (head.status_code, head.content) == (200, b"")


WRONG = (
    ("limit=0", "from 1 to 200"),
    ("limit=201", "from 1 to 200"),
    ("limit=ten", "from 1 to 200"),
    ("limit=%D9%A1", "from 1 to 200"),
    ("cursor=abc", "UUID"),
    ("cursor=' OR 1=1", "UUID"),
    ("parent=1234", "UUID"),
    ("status=done", "completed"),
    ("stauts=failed", 'Did you mean "status"'),
    ("status=failed&status=timeout", "twice"),
    ("since=yesterday", "RFC 3339"),
    ("since=2026-03-01T09:30:00", "RFC 3339"),
    ("since=2026-03-01T09:30:00+01:00", "%2B"),
    ("until=0001-01-01T00:00:00%2B23:59", "RFC 3339"),
    ("roots=yes", "true or false"),
    ("environment=%00", "characters"),
    ("trigger=cron", "schedule"),
)


def test_a_wrong_parameter_is_422_and_says_what_would_be_right(site: Site) -> None:
    for query, said in WRONG:
        answer = site.http.get(f"/runs?{query}")
        assert answer.status_code == 422, query
        assert said in answer.json()["detail"]
        assert answer.json()["problems"][0]["path"] == query.split("=")[0]


def test_all_wrong_parameters_are_told_at_once(site: Site) -> None:
    problems = site.http.get("/runs?limit=0&status=x&nothing=1").json()["problems"]
    assert [problem["path"] for problem in problems] == ["limit", "status", "nothing"]


def test_runs_come_newest_first_in_pages_that_join_without_gap(site: Site) -> None:
    site.deploy("orders")
    made = [site.run("orders") for _ in range(7)][::-1]
    found, cursor, pages = [], "", 0
    while cursor is not None:
        answer = site.http.get("/runs", params={"limit": 3} | ({"cursor": cursor} if cursor else {}))
        found += ids(answer)
        cursor, pages = answer.json()["next"], pages + 1
    assert (found, pages) == (made, 3)


def test_a_made_up_cursor_only_moves_the_page(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders")
    assert ids(site.http.get("/runs?cursor=ffffffff-ffff-ffff-ffff-ffffffffffff")) == [run]
    assert ids(site.http.get(f"/runs?cursor={run.upper()}")) == []


def test_filters_are_combined(site: Site) -> None:
    site.deploy("orders", environment="staging")
    site.deploy("reports")
    failed = site.run("orders", status=RunStatus.FAILED, error='{"type": "x", "message": "no"}')
    completed = site.run("orders", status=RunStatus.COMPLETED, kind="schedule")
    pending = site.run("reports")
    child = site.run("reports")
    site.execute("UPDATE runs SET parent_id = %s, root_id = %s WHERE id = %s", pending, pending, child)

    def found(**query: str) -> set[str]:
        return set(ids(site.http.get("/runs", params=query)))

    assert found() == {failed, completed, pending, child}
    assert found(deployment="orders", status="failed") == {failed}
    assert found(deployment="reports", status="failed") == set()
    assert found(environment="staging") == {failed, completed}
    assert found(environment="staging", trigger="schedule") == {completed}
    assert found(pattern="reports", roots="true") == {pending}
    assert found(parent=pending) == {child}
    assert found(parent=pending, roots="true") == set()
    assert found(deployment="nothing") == set()
    [row] = site.execute("SELECT created_at FROM runs WHERE id = %s", completed)
    at = row[0].isoformat()
    assert found(since=at) == {completed, pending, child}
    assert found(until=at) == {failed}
    assert found(since=at, until=at) == set()
    assert found(since="0001-01-01T00:00:00Z", until="9999-12-31T00:00:00Z", status="failed") == {failed}


def test_the_environment_of_a_run_is_the_one_that_it_was_accepted_in(site: Site) -> None:
    site.deploy("orders", environment="staging")
    before = site.run("orders")
    site.deploy("orders", environment="production")
    after = site.run("orders")
    assert ids(site.http.get("/runs?environment=staging")) == [before]
    assert ids(site.http.get("/runs?environment=production")) == [after]
    assert site.http.get(f"/runs/{before}").json()["environment"] == "staging"


def test_a_page_looks_at_so_many_rows_and_no_more(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_reads, "LOOKED_AT", 3)
    site.deploy("orders")
    rare = site.run("orders", status=RunStatus.FAILED)
    for _ in range(7):
        site.run("orders")
    found, pages, cursor = [], 0, None
    while pages == 0 or cursor is not None:
        params = {"status": "failed"} | ({"cursor": cursor} if cursor else {})
        answer = site.http.get("/runs", params=params)
        found += ids(answer)
        cursor, pages = answer.json()["next"], pages + 1
    assert (found, pages) == ([rare], 3)


MANY = """
    INSERT INTO runs (id, deployment_id, revision, version_id, pattern, status, trigger_kind, trigger, due_at,
                      created_at)
    SELECT (lpad(to_hex(1790000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
           1 + n %% 2, 1, 'v', 'orders', 'completed', 'webhook', '{}', now(), now()
    FROM generate_series(1, 30000) n
"""


def test_no_list_ever_scans_all_runs(site: Site) -> None:
    site.deploy("orders")
    site.deploy("reports")
    everything = (
        "",
        "status=failed",
        "deployment=orders",
        "environment=staging",
        "trigger=api",
        "roots=true",
    )
    for query in everything * 2:  # what is planned for an empty table must not be kept
        assert site.http.get(f"/runs?{query}").status_code == 200
    site.execute(MANY)
    site.execute("ANALYZE runs")
    before = scans(site)
    times = "since=2026-01-01T00:00:00Z&until=2030-01-01T00:00:00Z"
    cursor = "cursor=01a0ca00-0000-7000-8000-000000000000"
    parent = "parent=01a0ca00-0000-7000-8000-000000000000"
    for query in (*everything, times, cursor, parent, f"{times}&{cursor}&status=failed"):
        assert site.http.get(f"/runs?limit=200&{query}").status_code == 200
    assert scans(site) == before


def scans(site: Site) -> int:
    site.execute("SELECT pg_sleep(1.1)")  # idle connections tell what they counted once a second
    site.execute("SELECT pg_stat_force_next_flush()")
    return int(site.execute("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'runs'")[0][0])


def test_a_run_shows_its_nodes_in_the_order_in_which_they_began(site: Site) -> None:
    site.deploy("orders", {
        "nodes": [
            {"id": "z", "name": "First of all", "uses": "set", "with": {}},
            {"id": "decide", "uses": "branch", "if": "${{ true }}", "then": [{"id": "inner", "uses": "log"}]},
            {"id": "a", "uses": "fail"},
        ]
    })  # fmt: skip
    error = '{"type": "failed", "message": "no", "node": "a", "hint": "look"}'
    spans = [
        span("a", 3.0, SpanStatus.FAILED, error=error),
        span("decide", 2.0, SpanStatus.RUNNING, output='{"taken": "then"}'),
        span("decide/inner", 2.0, output="null", log='[{"message": "hello"}]'),
        span("z", 1.0, output='{"x": 1.50}'),
    ]
    run = site.run("orders", status=RunStatus.FAILED, spans=spans, error=error, input='{"order": 7}')
    answer = site.http.get(f"/runs/{run}")
    found = answer.json()
    assert [node["path"] for node in found["nodes"]] == ["z", "decide", "decide/inner", "a"]
    first, decide, inner, last = found["nodes"]
    assert (first["name"], first["uses"], first["output"], first["durationMs"]) == (
        "First of all",
        "set",
        {"x": 1.5},
        250,
    )
    assert '"x": 1.50' in answer.text, "a number is shown as it was written"
    assert (decide["status"], decide["output"]) == ("running", None)
    assert (inner["id"], inner["log"]) == ("inner", [{"message": "hello"}])
    assert (last["status"], last["error"]["hint"]) == ("failed", "look")
    assert (found["status"], found["error"]["node"], found["input"]) == ("failed", "a", {"order": 7})
    assert (found["deployment"], found["version"]["number"], found["trigger"]) == ("orders", 1, "webhook")
    assert found["rootId"] == run
    assert datetime.fromisoformat(found["endedAt"]) >= datetime.fromisoformat(found["createdAt"])
    listed = site.http.get("/runs").json()["items"][0]
    assert "nodes" not in listed
    assert "output" not in listed


def test_earlier_attempts_can_be_looked_at(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders", status=RunStatus.FAILED, spans=[span("a", 1.0, output="1")])
    site.execute("UPDATE runs SET attempt = 2 WHERE id = %s", run)
    site.execute(
        """INSERT INTO spans (run_id, run_attempt, path, status, attempt, output)
           VALUES (%s, 2, 'a', 'completed', 1, '2')""",
        run,
    )
    assert site.http.get(f"/runs/{run}").json()["nodes"][0]["output"] == 2
    assert site.http.get(f"/runs/{run}?attempt=1").json()["nodes"][0]["output"] == 1
    answer = site.http.get(f"/runs/{run}?attempt=3")
    assert (answer.status_code, "had 2" in answer.json()["detail"]) == (422, True)


def test_what_a_secret_node_gives_is_shown_nowhere(site: Site) -> None:
    quiet = {"nodes": [{"id": "token", "uses": "set", "with": {}, "secret": True}]}
    callee = site.deploy("quiet", quiet)
    site.deploy("caller", calls={"quiet": callee}, spec={
        "nodes": [
            {"id": "open", "uses": "set"},
            {"id": "box", "uses": "branch", "if": "${{ true }}", "then": [
                {"id": "deep", "uses": "call", "with": {"pattern": "quiet"}}]},
        ]
    })  # fmt: skip
    hidden = '"s3cr3t"'
    spans = [
        span("open", 1.0, output='"fine"'),
        span("box", 2.0, output=hidden),
        span("box/deep", 3.0, output=hidden),
    ]
    run = site.run("caller", status=RunStatus.COMPLETED, spans=spans, output=hidden)
    answer = site.http.get(f"/runs/{run}")
    assert "s3cr3t" not in answer.text
    assert [node.get("secret", False) for node in answer.json()["nodes"]] == [False, True, True]
    assert answer.json()["nodes"][0]["output"] == "fine"
    assert (answer.json()["output"], answer.json()["secret"]) == (None, True)


def test_nothing_of_a_run_that_a_secret_node_called_is_shown(site: Site) -> None:
    callee = site.deploy("plain", {"nodes": [{"id": "a", "uses": "set"}]})
    call = {"id": "deep", "uses": "call", "with": {"pattern": "plain"}, "secret": True}
    site.deploy("caller", {"nodes": [call]}, calls={"plain": callee})
    parent = site.run("caller", status=RunStatus.COMPLETED)
    child = site.run(
        "plain", status=RunStatus.COMPLETED, spans=[span("a", 1.0, output='"s3cr3t"')], output='"s3cr3t"'
    )
    assert "s3cr3t" in site.http.get(f"/runs/{child}").text
    site.execute("UPDATE runs SET parent_id = %s, parent_path = 'deep' WHERE id = %s", parent, child)
    assert "s3cr3t" not in site.http.get(f"/runs/{child}").text
    again = site.run(
        "plain", status=RunStatus.COMPLETED, spans=[span("a", 1.0, output='"s3cr3t"')], output='"s3cr3t"'
    )
    site.execute("UPDATE runs SET replay_of = %s WHERE id = %s", child, again)
    for hidden in ("", "/output", "/output?node=a", "/events"):
        assert "s3cr3t" not in site.http.get(f"/runs/{again}{hidden}").text


def test_nothing_of_a_run_that_a_secret_node_in_a_loop_called_is_shown(site: Site) -> None:
    callee = site.deploy("plain", {"nodes": [{"id": "a", "uses": "set"}]})
    call = {"id": "deep", "uses": "call", "with": {"pattern": "plain"}, "secret": True}
    loop = {"id": "each", "uses": "for-each", "items": [1], "do": [call]}
    site.deploy("caller", {"nodes": [loop]}, calls={"plain": callee})
    parent = site.run("caller", status=RunStatus.COMPLETED)
    spans = [span("a", 1.0, output='"s3cr3t"')]
    child = site.run("plain", status=RunStatus.COMPLETED, spans=spans, output='"s3cr3t"')
    path = "each~2[0]/deep"
    site.execute("UPDATE runs SET parent_id = %s, parent_path = %s WHERE id = %s", parent, path, child)
    assert "s3cr3t" not in site.http.get(f"/runs/{child}").text


def test_what_a_secret_stop_gives_is_not_shown_as_the_run_s_output(site: Site) -> None:
    stop = {"id": "enough", "uses": "stop", "with": {"output": "s3cr3t"}, "secret": True}
    site.deploy("early", {"nodes": [stop, {"id": "after", "uses": "set"}], "output": "fine"})
    spans = [span("enough", 1.0, output='"s3cr3t"')]
    run = site.run("early", status=RunStatus.COMPLETED, spans=spans, output='"s3cr3t"')
    assert "s3cr3t" not in site.http.get(f"/runs/{run}").text
    assert site.http.get(f"/runs/{run}/output").status_code == 403
