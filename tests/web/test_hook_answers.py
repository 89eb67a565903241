"""Webhooks whose callers wait: for what the run gives, or what a node of it says."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from eventually import eventually
from hook_calls import call
from installation import Installation, installation, live

ECHO = "- {id: a, uses: set, with: {got: '${{ trigger.body }}'}}"
LAST = {"webhook": {"respond": "last-node", "respondWithin": "20s"}}
SAYS = {"webhook": {"respond": "respond-node", "respondWithin": "20s", "methods": ["GET", "POST"]}}


@pytest.fixture(scope="module")
def weft() -> Iterator[Installation]:
    with installation("--workers", "1") as weft:
        files = live("last", ECHO, on=LAST)
        files |= live("broken", "- {id: a, uses: fail, with: {message: private reason}}", on=LAST)
        files |= live("hidden", "- {id: a, uses: set, secret: true, with: {password: 'hunter2'}}", on=LAST)
        files |= live(
            "slow",
            "- {id: nap, uses: delay, with: {for: 3s}}\n- {id: a, uses: set, with: {slept: true}}",
            on={"webhook": {"respond": "last-node", "respondWithin": "1s"}},
        )
        files |= live(
            "sleepy",
            "- {id: nap, uses: delay, with: {for: 4s}}\n- {id: a, uses: set, with: {slept: true}}",
            on=LAST,
        )
        files |= live("quick", ECHO, on=LAST)
        files |= live(
            "says",
            """
- id: answer
  uses: respond
  with:
    status: "${{ has(trigger.body.status) ? trigger.body.status : 200 }}"
    headers: "${{ has(trigger.body.headers) ? trigger.body.headers : {} }}"
    body: "${{ trigger.body.body }}"
- {id: nap, uses: delay, with: {for: 2s}}
- {id: done, uses: set, with: {done: true}}
""",
            on=SAYS,
        )
        files |= live(
            "bytes",
            "- {id: a, uses: respond, with: {encoding: base64, body: '${{ trigger.body.body }}',"
            " headers: {Content-Type: image/png}}}",
            on=SAYS,
        )
        files |= live(
            "challenge",
            "- {id: a, uses: respond, with: {body: \"${{ trigger.query['hub.challenge'] }}\"}}",
            on=SAYS,
        )
        files |= live(
            "quiet",
            "- {id: a, uses: respond, when: '${{ false }}', with: {body: no}}\n"
            "- {id: b, uses: set, with: {ok: true}}",
            on=SAYS,
        )
        files |= live(
            "twice-slowly",
            "- {id: a, uses: respond, with: {body: first}}\n- {id: nap, uses: delay, with: {for: 2s}}\n"
            "- {id: b, uses: respond, with: {body: second}}",
            on={"webhook": {**SAYS["webhook"], "dedupe": "all by ${{ method }}"}},
        )
        files |= live(
            "twice",
            "- {id: a, uses: respond, with: {body: first}}\n- {id: b, uses: respond, with: {body: second}}",
            on=SAYS,
        )
        weft.push(files)
        yield weft


def post(weft: Installation, name: str, body: Any, **more: Any) -> Any:
    return call(weft, weft.hook(name), json.dumps(body), **more)


def test_the_last_nodes_output_is_the_answer(weft: Installation) -> None:
    answer = post(weft, "last", {"total": 3})
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == {"got": {"total": 3}}


def test_a_run_that_ends_badly_answers_with_its_url_and_without_its_reasons(weft: Installation) -> None:
    answer = post(weft, "broken", {})
    assert (answer.status, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json["run"]["status"] == "failed"
    assert (
        weft.get(answer.json["run"]["url"].partition(weft.address)[2])["error"]["message"] == "private reason"
    )
    assert b"private reason" not in answer.text


def test_what_a_secret_node_gave_is_not_answered(weft: Installation) -> None:
    answer = post(weft, "hidden", {})
    assert (answer.status, answer.json) == (200, None)


def test_an_output_that_is_kept_outside_the_database_is_answered_whole(weft: Installation) -> None:
    body = {"text": "many words " * 40_000}
    answer = post(weft, "last", body)
    assert (answer.status, answer.json) == (200, {"got": body})
    assert weft.rows("SELECT count(*) FROM runs WHERE output::text LIKE %s", ['{"$blob"%'])[0][0] > 0


def test_after_the_time_limit_the_answer_is_where_to_read_it(weft: Installation) -> None:
    began = time.monotonic()
    answer = post(weft, "slow", {})
    assert time.monotonic() - began >= 1.0
    assert answer.status == 202
    run = answer.run
    weft.await_ends({run})
    assert weft.get(f"/api/v1/runs/{run}")["output"] == {"slept": True}


def test_the_respond_node_says_status_headers_and_body_while_the_run_goes_on(weft: Installation) -> None:
    answer = post(weft, "says", {"status": 418, "headers": {"X-Tea": "green"}, "body": {"short": "stout"}})
    assert weft.rows("SELECT 1 FROM runs WHERE pattern = 'says' AND ended_at IS NULL"), "it has not waited"
    assert (answer.status, answer.headers["x-tea"], answer.json) == (418, "green", {"short": "stout"})
    assert answer.headers["content-type"] == "application/json"


def test_text_goes_out_as_text_and_nothing_as_nothing(weft: Installation) -> None:
    answer = post(weft, "says", {"body": "<b>hello</b>"})
    assert (answer.headers["content-type"], answer.text) == ("text/plain; charset=utf-8", b"<b>hello</b>")
    empty = post(weft, "says", {"status": 204, "body": None})
    assert (empty.status, empty.text) == (204, b"")


def test_a_page_that_a_pattern_answers_with_is_kept_apart_from_the_console(weft: Installation) -> None:
    answer = post(weft, "says", {"headers": {"Content-Type": "text/html"}, "body": "<script>1</script>"})
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-same-origin" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


FORBIDDEN = [
    {"headers": {"Set-Cookie": "session=mine"}},
    {"headers": {"Alt-Svc": 'h2="elsewhere.example:443"'}},
    {"headers": {"NEL": '{"report_to": "elsewhere", "max_age": 86400}'}},
    {"headers": {"X-Accel-Redirect": "/internal/backup"}},
    {"headers": {"X-Sendfile": "/etc/passwd"}},
    {"headers": {"Content-Length": "0"}},
    {"headers": {"Transfer-Encoding": "chunked"}},
    {"headers": {"X-A": "b\r\nSet-Cookie: session=mine"}},
    {"headers": {"X A": "b"}},
    {"headers": {"X-A": "smörgås \u20ac"}},
    {"headers": [1]},
    {"status": 99},
    {"status": 600},
    {"status": "200"},
    {"status": True},
]


@pytest.mark.parametrize("said", FORBIDDEN, ids=str)
def test_what_cannot_be_answered_ends_the_run_and_not_the_connection(weft: Installation, said: Any) -> None:
    answer = post(weft, "says", {**said, "body": "x"})
    assert answer.status == 500
    run = weft.get(f"/api/v1/runs/{answer.json['run']['id']}")
    assert run["error"]["type"] == "bad_answer"
    assert "Set-Cookie" not in answer.headers


def test_bytes_are_answered_from_base64(weft: Installation) -> None:
    content = bytes(range(256))
    answer = post(weft, "bytes", {"body": base64.b64encode(content).decode()})
    assert (answer.headers["content-type"], answer.text) == ("image/png", content)


def test_a_get_with_a_challenge_is_answered_by_the_pattern(weft: Installation) -> None:
    answer = call(weft, weft.hook("challenge") + "?hub.mode=subscribe&hub.challenge=4711", method="GET")
    assert (answer.status, answer.text) == (200, b"4711")


def test_a_run_that_never_answers_says_how_it_ended(weft: Installation) -> None:
    answer = post(weft, "quiet", {})
    assert (answer.status, answer.json["run"]["status"]) == (200, "completed")


def test_the_first_answer_counts(weft: Installation) -> None:
    answer = post(weft, "twice", {})
    assert answer.text == b"first"
    assert weft.rows("SELECT answer->>'body' FROM runs WHERE pattern = 'twice'") == [("first",)]


def test_a_later_answer_is_told_to_nobody(weft: Installation) -> None:
    """It is not the one that the next caller with the same key gets, whenever they ask."""
    told = []
    with weft.database() as connection:
        connection.execute("LISTEN weft_answered")
        run = post(weft, "twice-slowly", {})
        assert run.text == b"first"
        [[id_]] = weft.rows("SELECT id::text FROM runs WHERE pattern = 'twice-slowly'")
        weft.await_ends({id_})
        told = [one.payload for one in connection.notifies(timeout=0.5) if id_ in one.payload]
    assert any("first" in payload for payload in told)
    assert not any("second" in payload for payload in told)
    assert post(weft, "twice-slowly", {}).text == b"first"


def test_a_slow_run_does_not_slow_others_and_300_wait_at_once(weft: Installation) -> None:
    sleepy, quick = weft.hook("sleepy"), weft.hook("quick")
    threads_before = web_threads(weft)
    with ThreadPoolExecutor(310) as pool:
        waiting = [pool.submit(call, weft, sleepy, json.dumps({"n": n}), seconds=60) for n in range(300)]
        eventually(lambda: weft.rows("SELECT count(*) FROM runs WHERE pattern = 'sleepy'")[0][0] == 300)
        threads_meanwhile = web_threads(weft)
        began = time.monotonic()
        for n in range(20):
            assert call(weft, quick, json.dumps({"n": n})).json == {"got": {"n": n}}
        took = (time.monotonic() - began) / 20
        answers = [one.result() for one in waiting]
    assert [one.status for one in answers] == [200] * 300
    assert all(one.json == {"slept": True} for one in answers)
    assert took < 0.5, "each quick one was answered while 300 waited"
    assert threads_meanwhile - threads_before < 20, "no thread for each caller"


def web_threads(weft: Installation) -> int:
    [pid] = weft.pids("weft-web")
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Threads:"))


def test_a_caller_that_hangs_up_leaves_no_trace_but_its_run(weft: Installation) -> None:
    host, _, port = weft.address.rpartition(":")
    before = weft.rows("SELECT count(*) FROM runs WHERE pattern = 'sleepy'")[0][0]
    [pid] = weft.pids("weft-web")
    opened = len(descriptors(pid))
    for _ in range(20):
        with socket.create_connection((host, int(port))) as caller:
            body = b'{"left": true}'
            head = f"POST {weft.hook('sleepy')} HTTP/1.1\r\nHost: weft\r\nContent-Type: application/json\r\n"
            caller.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            time.sleep(0.05)
    eventually(lambda: weft.rows("SELECT count(*) FROM runs WHERE pattern = 'sleepy'")[0][0] == before + 20)
    eventually(lambda: len(descriptors(pid)) <= opened + 2)
    weft.await_ends()
    assert set(weft.rows("SELECT status FROM runs WHERE pattern = 'sleepy'")) == {("completed",)}
    assert not [event for event in weft.events() if event.get("level") in ("error", "critical")]


def descriptors(pid: int) -> list[str]:

    return os.listdir(f"/proc/{pid}/fd")


def test_an_answer_is_heard_without_a_notification(weft: Installation) -> None:
    """The listener's connection is cut: whoever waits finds out by looking."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, weft, weft.hook("sleepy"), "{}", seconds=60)
        time.sleep(0.5)
        weft.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'", [])
        assert waiting.result().json == {"slept": True}


def test_a_worker_that_dies_costs_the_caller_time_and_not_the_answer(weft: Installation) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, weft, weft.hook("sleepy"), "{}", seconds=60)
        time.sleep(0.5)

        for pid in weft.pids("weft-worker"):
            os.kill(pid, signal.SIGKILL)
        assert waiting.result().json == {"slept": True}


def test_callers_are_let_go_when_the_service_stops(weft: Installation) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, weft, weft.hook("sleepy"), "{}", seconds=60)
        eventually(
            lambda: bool(weft.rows("SELECT 1 FROM runs WHERE pattern = 'sleepy' AND ended_at IS NULL"))
        )
        began = time.monotonic()
        assert weft.stop() == 0
        answer = waiting.result()
    assert (answer.status, time.monotonic() - began < 4) == (202, True)
    weft.start()
    weft.await_ends({answer.run})
