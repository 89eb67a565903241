"""Every call of a webhook is kept: listed, shown, sent again, caught as a test."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from eventually import eventually
from hook_calls import JSON, Answer, call
from http_site import Site, json_answer
from installation import Installation, deployment, installation, live, pattern
from weft_command import WEFT, environment

SEEN = "- {id: seen, uses: set, with: {body: '${{ trigger.body }}'}}"
VERIFY = {"provider": "github", "secret": "HOOK_SECRET", "mode": "observe"}
BODY = {"type": "object", "required": ["id"]}
NUMBERS = {"type": "object", "additionalProperties": {"type": "integer"}}


@pytest.fixture(scope="module")
def weft() -> Iterator[Installation]:
    with installation("--workers", "1") as weft:
        files = live("open", SEEN) | live("orders", SEEN, on={"webhook": {"body": BODY, "maxBody": "4KiB"}})
        files |= live("paused", SEEN) | live("flooded", SEEN, on={"webhook": {"rateLimit": "1/h"}})
        files |= live("silent", SEEN.replace("trigger.body", "input"), on={"call": {}})
        files |= live("watched", SEEN, on={"webhook": {"verify": VERIFY}})
        files |= live("numbers", SEEN, on={"webhook": {"body": NUMBERS}})
        files |= live("once", SEEN, on={"webhook": {"dedupe": "${{ headers['x-delivery'] }}"}})
        weft.push(files)
        weft.push({"deployments/paused.yaml": deployment("paused", state="paused")})
        yield weft


def post(weft: Installation, name: str, body: Any, headers: Any = JSON, path: str = "") -> Answer:
    return call(weft, weft.hook(name) + path, json.dumps(body), headers)


def deliveries(weft: Installation, name: str, count: int, query: str = "") -> list[Any]:
    """The newest, once there are so many."""
    path = f"/api/v1/deployments/{name}/deliveries{query}"
    eventually(lambda: len(weft.get(path)["items"]) >= count)
    return list(weft.get(path)["items"])


def test_accepted_and_refused_calls_stand_in_one_list(weft: Installation) -> None:
    run = post(weft, "orders", {"id": 1}, path="/eu").run
    assert post(weft, "orders", {"total": 1}, path="/us?a=b").status == 422
    refused, accepted = deliveries(weft, "orders", 2)[:2]
    assert (accepted["accepted"], accepted["run"]["id"], accepted["path"]) == (True, run, "/eu")
    assert (refused["accepted"], refused["status"], refused["reason"]) == (False, 422, "invalid-body")
    assert (refused["method"], refused["path"], refused["address"]) == ("POST", "/us", "127.0.0.1")
    assert "id" in refused["detail"]
    assert [one["id"] for one in deliveries(weft, "orders", 1, "?accepted=true")][:1] == [accepted["id"]]
    assert [one["id"] for one in deliveries(weft, "orders", 1, "?accepted=false")][:1] == [refused["id"]]
    page = weft.get("/api/v1/deployments/orders/deliveries?limit=1")
    assert (page["items"][0]["id"], page["next"]) == (refused["id"], refused["id"])
    following = weft.get(f"/api/v1/deployments/orders/deliveries?limit=1&cursor={page['next']}")
    assert following["items"][0]["id"] == accepted["id"]


def test_a_refused_call_is_kept_as_it_came_but_for_its_credentials(weft: Installation) -> None:
    headers = JSON | {"Authorization": "Bearer hunter2", "Cookie": "a=hunter2", "X-Shop": "eu"}
    post(weft, "paused", {"id": 1, "name": "Zoë"}, headers, "/x?a=1&a=2")
    found = deliveries(weft, "paused", 1)[0]
    request = weft.get(f"/api/v1/deliveries/{found['id']}")["request"]
    assert (found["reason"], request["body"]) == ("paused", {"id": 1, "name": "Zoë"})
    assert (request["path"], request["query"], request["headers"]["x-shop"]) == (
        "/x",
        {"a": ["1", "2"]},
        "eu",
    )
    assert not weft.rows("SELECT 1 FROM deliveries WHERE request::text LIKE '%%hunter2%%'", [])


def test_who_called_is_kept_also_where_it_was_refused_before_anybody_asked(weft: Installation) -> None:
    assert call(weft, weft.hook("open"), method="DELETE").status == 405
    post(weft, "paused", {"id": 1})
    assert deliveries(weft, "open", 1, "?accepted=false")[0]["address"] == "127.0.0.1"
    assert deliveries(weft, "paused", 1)[0]["address"] == "127.0.0.1"


def test_where_verify_only_observes_the_delivery_says_what_it_saw(weft: Installation) -> None:
    run = post(weft, "watched", {"id": 1}).run
    found = deliveries(weft, "watched", 1)[0]
    assert (found["run"]["id"], found["verified"], found["unverified"]["reason"]) == (run, False, "no-secret")
    line = weft_command(weft, "hooks", "watched").stdout.splitlines()[1]
    assert "(not verified: No secret is set here" in line
    shown = weft_command(weft, "hooks", "show", str(run)).stdout
    assert "(not verified: No secret is set here" in shown
    assert ("127.0.0.1" in shown, '"id": 1' in shown) == (True, True)


def test_a_body_that_is_not_json_is_shown_as_text(weft: Installation) -> None:
    call(weft, weft.hook("orders"), b'{"name": "Zo\xc3\xab', JSON)
    found = deliveries(weft, "orders", 1, "?accepted=false")[0]
    shown = weft_command(weft, "hooks", "show", found["id"]).stdout
    assert '{"name": "Zoë' in shown
    assert "400 not-json: The content type says JSON" in shown


def test_bytes_that_nobody_understands_are_kept(weft: Installation) -> None:
    call(weft, weft.hook("orders"), b'{"id": ', JSON)
    found = deliveries(weft, "orders", 1)[0]
    request = weft.get(f"/api/v1/deliveries/{found['id']}")["request"]
    assert found["reason"] == "not-json"
    assert base64.b64decode(request["body"]) == b'{"id": '


def test_a_key_that_the_database_cannot_write_hides_no_call(weft: Installation) -> None:
    """The reason quotes the body's keys, and PostgreSQL takes no NUL."""
    assert post(weft, "numbers", {"a\0b": "x"}).status == 422
    assert post(weft, "numbers", {"c": "x"}).status == 422
    found = deliveries(weft, "numbers", 2)
    assert "a\ufffdb" in found[1]["detail"]
    assert weft.get(f"/api/v1/deliveries/{found[1]['id']}")["request"]["body"] == {"a\0b": "x"}


def test_what_was_refused_can_be_sent_again_when_it_is_mended(weft: Installation) -> None:
    post(weft, "paused", {"id": 7}, path="/late")
    found = deliveries(weft, "paused", 1)[0]
    status, problem = weft.request("POST", f"/api/v1/deliveries/{found['id']}/replay", {})
    assert (status, problem["title"]) == (409, "Paused")
    weft.push({"deployments/paused.yaml": deployment("paused")})
    try:
        status, run = weft.request("POST", f"/api/v1/deliveries/{found['id']}/replay", {})
        assert (status, run["trigger"], run["actor"]) == (202, "webhook", "admin")
        weft.await_ends({run["id"]})
        told = weft.get(f"/api/v1/runs/{run['id']}")
        assert told["output"] == {"body": {"id": 7}}
        assert (told["triggerData"]["path"], told["triggerData"]["replayed"]) == ("/late", found["id"])
    finally:
        weft.push({"deployments/paused.yaml": deployment("paused", state="paused")})


def test_an_accepted_call_can_be_sent_again(weft: Installation) -> None:
    first = post(weft, "open", {"n": 1}).run
    status, run = weft.request("POST", f"/api/v1/deliveries/{first}/replay", {})
    assert (status, run["id"] != first) == (202, True)
    weft.await_ends({run["id"]})
    assert weft.get(f"/api/v1/runs/{run['id']}")["output"] == {"body": {"n": 1}}


def test_the_live_version_has_to_take_what_is_sent_again(weft: Installation) -> None:
    post(weft, "orders", {"total": 1})
    found = deliveries(weft, "orders", 1)[0]
    status, problem = weft.request("POST", f"/api/v1/deliveries/{found['id']}/replay", {})
    assert (status, problem["problems"][0]["path"]) == (422, "")
    assert (
        weft.request("POST", "/api/v1/deliveries/0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d/replay", {})[0] == 404
    )


def test_repeated_calls_name_the_run_of_the_first(weft: Installation) -> None:
    first = post(weft, "once", {}, JSON | {"X-Delivery": "a"}).run
    post(weft, "once", {}, JSON | {"X-Delivery": "a"})
    found = deliveries(weft, "once", 2)[0]
    assert (found["reason"], found["status"], found["run"]["id"]) == ("repeated", 202, first)


def test_too_large_a_body_is_not_kept_but_that_it_came_is(weft: Installation) -> None:
    assert call(weft, weft.hook("orders"), b"x" * 5000, JSON).status == 413
    found = deliveries(weft, "orders", 1)[0]
    assert found["reason"] == "too-large"
    assert weft.request("POST", f"/api/v1/deliveries/{found['id']}/replay", {})[0] == 409


def test_a_flood_of_refused_calls_does_not_fill_the_disk(weft: Installation) -> None:
    url = weft.hook("flooded")

    def flood() -> None:
        for _ in range(250):
            call(weft, url, "{}")

    threads = [threading.Thread(target=flood) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deliveries(weft, "flooded", 50)
    eventually(
        lambda: weft.rows("SELECT count(*) FROM deliveries WHERE reason = 'rate-limited'")[0][0] >= 600
    )
    [[kept]] = weft.rows("SELECT count(*) FROM deliveries WHERE reason = 'rate-limited'")
    assert kept <= 1200, "six hundred in a minute"


def test_a_flood_of_large_refused_calls_does_not_fill_the_disk_either(weft: Installation) -> None:
    body = b"x" * 1024 * 1024
    for _ in range(20):
        assert call(weft, weft.hook("numbers"), body, {"content-type": "text/plain"}).status == 422
    deliveries(weft, "numbers", 20)
    large = "SELECT count(*), count(body) FROM deliveries WHERE request::text LIKE '%%1048576%%'"
    [[kept, whole]] = weft.rows(large, [])
    assert (kept, 8 <= whole <= 16) == (20, True), "eight in a minute"


def test_old_calls_and_keys_are_forgotten(weft: Installation) -> None:
    post(weft, "once", {}, JSON | {"X-Delivery": "old"})
    post(weft, "once", {}, JSON | {"X-Delivery": "old"})
    deliveries(weft, "once", 1)
    weft.rows("UPDATE deliveries SET at = at - interval '8 days' RETURNING 1")
    weft.rows("UPDATE run_keys SET at = at - interval '2 days' RETURNING 1")
    weft_pids = weft.pids("weft-controller")
    os.kill(weft_pids[0], 9)  # a new one tidies at once
    eventually(lambda: weft.rows("SELECT count(*) FROM deliveries")[0][0] == 0, seconds=30)
    eventually(lambda: weft.rows("SELECT count(*) FROM run_keys")[0][0] == 0, seconds=30)


def weft_command(weft: Installation, *arguments: str, cwd: Any = None) -> subprocess.CompletedProcess[str]:
    environ = environment(WEFT_URL=f"http://{weft.address}", WEFT_TOKEN=weft.token)
    return subprocess.run(
        [*WEFT, *arguments], cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_weft_hooks_lists_shows_and_replays(weft: Installation) -> None:
    post(weft, "orders", {"total": 1}, path="/eu")
    found = deliveries(weft, "orders", 1)[0]
    listed = weft_command(weft, "hooks", "orders")
    assert found["id"] in listed.stdout
    assert "invalid-body: orders does not take this body" in listed.stdout
    assert found["id"] in weft_command(weft, "hooks", "list", "orders", "--refused").stdout
    shown = weft_command(weft, "hooks", "show", found["id"]).stdout
    assert "\n\nPOST /eu\n" in shown
    assert '"total": 1' in shown
    refused = weft_command(weft, "hooks", "replay", found["id"])
    assert (refused.returncode, "required property" in refused.stderr) == (1, True), refused.stderr
    run = post(weft, "open", {"n": 2}).run
    replayed = weft_command(weft, "hooks", "replay", run)
    assert (replayed.returncode, "weft log" in replayed.stdout) == (0, True)


def test_what_has_no_webhook_says_so_instead_of_waiting_for_a_call(weft: Installation) -> None:
    listed = weft_command(weft, "hooks", "silent")
    assert (listed.returncode, "silent has no webhook" in listed.stdout) == (0, True), listed.stderr
    tapped = weft_command(weft, "hooks", "tap", "silent")
    assert (tapped.returncode, "silent has no webhook" in tapped.stderr) == (1, True), tapped.stdout


ASKS = """
- {id: ask, uses: http, with: {url: "${{ trigger.body.url }}/price", query: {sku: "${{ trigger.body.sku }}"}}}
- {id: tell, uses: set, with: {price: "${{ nodes.ask.body.price }}", sku: "${{ trigger.body.sku }}"}}
"""


def test_a_tapped_call_becomes_a_test_that_passes_without_the_network(
    weft: Installation, tmp_path: Any
) -> None:
    site = Site()
    site.answers["/price"] = json_answer({"price": 12})
    try:
        network = {"network": {"allow": [f"localhost:{site.port}"]}}
        project = {"apiVersion": "weft/v1", "kind": "Project", "metadata": {"name": "shop"}, "spec": network}
        files = {**live("asks", ASKS), "weft.yaml": json.dumps(project)}
        weft.push(files)
        (tmp_path / "patterns").mkdir()
        (tmp_path / "patterns/asks.yaml").write_text(pattern("asks", ASKS))
        caught: list[subprocess.CompletedProcess[str]] = []
        waiting = threading.Thread(
            target=lambda: caught.append(weft_command(weft, "hooks", "tap", "asks", cwd=tmp_path))
        )
        waiting.start()
        while waiting.is_alive():
            post(weft, "asks", {"url": site.url, "sku": "a-1"})
            waiting.join(1.0)
    finally:
        site.close()
    [done] = caught
    assert done.returncode == 0, done.stderr
    [file] = (tmp_path / "tests").iterdir()
    [case] = yaml.safe_load(file.read_text())["spec"]["cases"]
    assert case["expect"] == {"status": "completed", "output": {"price": 12, "sku": "a-1"}}
    assert case["stubs"]["ask"]["body"] == {"price": 12}
    tested = weft_command(weft, "test", cwd=tmp_path)
    assert (tested.returncode, "1 case passed" in tested.stdout) == (0, True), tested.stdout + tested.stderr


def test_a_tap_that_nobody_calls_ends(weft: Installation) -> None:
    done = weft_command(weft, "hooks", "tap", "open", "--timeout", "1s", "--no-save")
    assert (done.returncode, "Nobody called open within 1s" in done.stderr) == (1, True)
