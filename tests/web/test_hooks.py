"""Webhooks as their callers see them: what is answered, and what the run then finds in its trigger."""

from __future__ import annotations

import base64
import concurrent.futures
import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

import pytest
from eventually import eventually
from hook_calls import JSON, Answer, call, received
from installation import Installation, deployment, installation, live, pattern

SEEN = """
- id: seen
  uses: set
  with: {body: "${{ trigger.body }}", query: "${{ trigger.query }}", path: "${{ trigger.path }}"}
"""
LIGHT = "- {id: a, uses: set, with: {ok: true}}"
ALL = {"webhook": {"methods": ["GET", "POST", "PUT", "PATCH", "DELETE"]}}


@pytest.fixture(scope="module")
def weft() -> Iterator[Installation]:
    with installation("--workers", "1") as weft:
        files = live("seen", SEEN, on=ALL) | live("light", LIGHT)
        files |= live("small", LIGHT, on={"webhook": {"maxBody": "1KiB"}})
        files |= {f"deployments/{state}.yaml": deployment(state, pattern="light") for state in STATES}
        files |= live("napping", "- {id: a, uses: delay, with: {for: 10m}}")
        files |= {
            "deployments/full.yaml": deployment(
                "full", pattern="napping", concurrency={"limit": 1, "whenFull": "reject"}
            )
        }
        files |= live("failing", "- {id: a, uses: fail, with: {message: no}}")
        files |= {
            "deployments/broken.yaml": deployment(
                "broken", pattern="failing", circuitBreaker={"failures": 1, "within": "10m", "cooldown": "1h"}
            )
        }
        weft.push(files)
        yield weft


STATES = ("pausing", "archiving", "leaving")


@contextmanager
def connected(weft: Installation) -> Iterator[socket.socket]:
    host, _, port = weft.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as caller:
        yield caller


def answers(caller: socket.socket, count: int) -> list[Answer]:
    """The next answers of a connection, on which several requests may be under way."""
    with caller.makefile("rb") as file:
        return [_next_answer(file) for _ in range(count)]


def _next_answer(file: BinaryIO) -> Answer:
    status = int(file.readline().split()[1])
    headers = http.client.parse_headers(file)
    return Answer(status, headers, file.read(int(headers["content-length"])))


def head(url: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {url} HTTP/1.1", "Host: weft", *lines, "", ""]).encode()


def trigger_text(weft: Installation, run: str) -> str:
    [[text]] = weft.rows("SELECT trigger::text FROM runs WHERE id = %s", [run])
    return str(text)


def trigger(weft: Installation, run: str) -> Any:
    return json.loads(trigger_text(weft, run))


def ended(weft: Installation, run: str) -> Any:
    """The run as the API tells it, once it has ended."""
    weft.await_ends({run})
    return weft.get(f"/api/v1/runs/{run}")


def runs_of(weft: Installation, name: str) -> int:
    sql = "SELECT count(*) FROM runs r JOIN deployments d ON d.id = r.deployment_id WHERE d.name = %s"
    return int(weft.rows(sql, [name])[0][0])


def test_202_names_the_run_and_where_to_read_it(weft: Installation) -> None:
    answer = call(weft, weft.hook("seen"), '{"total": 3}')
    run = answer.json["run"]
    assert (answer.status, answer.headers["content-type"]) == (202, "application/json")
    assert (run["status"], run["url"]) == ("pending", f"http://{weft.address}/api/v1/runs/{run['id']}")
    told = ended(weft, run["id"])
    assert (told["status"], told["trigger"]) == ("completed", "webhook")
    assert told["output"]["body"] == {"total": 3}


BODIES = {
    "unicode": '{"name": "Zoë 🧵", "escaped": "\\u00e9 \\ud83e\\uddf5"}',
    "a NUL": '{"text": "a\\u0000b", "\\u0000": 1}',
    "null": "null",
    "a number": " 7 ",
    "a text": '"plain"',
    "false": "false",
    "an empty object": "{}",
    "floats": '{"a": 1.5, "b": 1e-7, "c": -0.0, "d": 0.1}',
    "integers of 64 bits": '{"a": 9007199254740993, "b": -9223372036854775808, "c": 9223372036854775807}',
    "a list of lists": "[[1, [2, [3]]], []]",
    "spaces and line ends": '\r\n{\n  "a" :\t1 }\n',
    "60 levels": "[" * 60 + "]" * 60,
}


@pytest.mark.parametrize("name", BODIES)
def test_the_run_has_the_json_as_it_was_sent(weft: Installation, name: str) -> None:
    run = call(weft, weft.hook("seen"), BODIES[name]).run
    assert trigger(weft, run)["body"] == json.loads(BODIES[name])
    told = ended(weft, run)
    assert told["status"] == "completed", told["error"]
    assert told["output"]["body"] == json.loads(BODIES[name])


def test_numbers_of_any_size_are_kept_as_they_were_written(weft: Installation) -> None:
    sent = (
        '{"big":123456789012345678901234567890,"long":0.12345678901234567890123,"max":18446744073709551615}'
    )
    run = call(weft, weft.hook("light"), sent).run
    assert sent in trigger_text(weft, run)
    assert ended(weft, run)["status"] == "completed"


def test_numbers_beyond_64_bits_do_not_break_an_expression(weft: Installation) -> None:
    sent = '{"big": 123456789012345678901234567890, "max": 18446744073709551615}'
    told = ended(weft, call(weft, weft.hook("seen"), sent).run)
    assert told["status"] == "completed", told["error"]
    assert told["output"]["body"]["max"] == 18446744073709551615
    assert told["output"]["body"]["big"] == pytest.approx(123456789012345678901234567890)


@pytest.mark.parametrize(
    "body",
    ["{", "{'a': 1}", "nul", '{"a": 1,}', "[1", "NaN", '"\\ud800"', '{"a": 1e400}', b'"\xff"', "{} {}", " "],
)
def test_malformed_json_is_a_400_that_says_why(weft: Installation, body: bytes | str) -> None:
    before = runs_of(weft, "light")
    answer = call(weft, weft.hook("light"), body)
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["status"] == 400
    assert "JSON" in answer.json["detail"]
    assert runs_of(weft, "light") == before


@pytest.mark.parametrize("levels", [201, 253, 255, 500, 1023, 1024, 1025, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_nesting_that_no_node_could_write_again_is_refused(
    weft: Installation, levels: int, brackets: str
) -> None:
    inner = "" if brackets == "[]" else "1"
    body = brackets[:-1] * levels + inner + brackets[-1] * levels
    answer = call(weft, weft.hook("light"), body)
    assert answer.status == 400
    assert "nested" in answer.json["detail"] or "depth" in answer.json["detail"]


@pytest.mark.parametrize("body", ["[" * 200 + "]" * 200, '{"a":' * 200 + "1" + "}" * 200])
def test_200_levels_reach_every_node(weft: Installation, body: str) -> None:
    told = ended(weft, call(weft, weft.hook("seen"), body).run)
    assert told["status"] == "completed", told["error"]


def test_many_brackets_side_by_side_are_not_deep(weft: Installation) -> None:
    body = json.dumps([[{"text": "[[[[{{{{"}] * 100] * 100)
    run = call(weft, weft.hook("light"), body).run
    assert trigger(weft, run)["body"] == json.loads(body)


def test_json_of_other_types_is_json_too(weft: Installation) -> None:
    for kind in ("application/cloudevents+json", "Application/JSON; charset=utf-8"):
        run = call(weft, weft.hook("light"), '{"a": 1}', {"content-type": kind}).run
        assert trigger(weft, run)["body"] == {"a": 1}


def test_a_form_is_its_fields(weft: Installation) -> None:
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    run = call(weft, weft.hook("light"), "name=Zo%C3%AB+B&tag=a&tag=b&tag=c&empty=&x=%00", form).run
    body = {"name": "Zoë B", "tag": ["a", "b", "c"], "empty": "", "x": "\0"}
    assert trigger(weft, run)["body"] == body


@pytest.mark.parametrize("body", ["a=%ff", "&".join(["a=1"] * 1001)])
def test_a_form_that_is_no_utf8_or_endless_is_refused(weft: Installation, body: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert call(weft, weft.hook("light"), body, form).status == 400


def test_text_and_bytes_arrive_whole(weft: Installation) -> None:
    text = "Zeile 1\r\n\0 <ü> {not: json}\n"
    run = call(weft, weft.hook("seen"), text, {"content-type": "text/plain"}).run
    assert trigger(weft, run)["body"] == text
    assert ended(weft, run)["output"]["body"] == text
    raw = bytes(range(256)) * 10
    run = call(weft, weft.hook("light"), raw, {"content-type": "application/octet-stream"}).run
    seen = trigger(weft, run)
    assert (base64.b64decode(seen["body"]), seen["encoding"]) == (raw, "base64")
    run = call(weft, weft.hook("light"), "no type", {}).run
    assert trigger(weft, run)["body"] == "no type"


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_an_empty_body_is_null(weft: Installation, kind: str) -> None:
    run = call(weft, weft.hook("seen"), None, {"content-type": kind}).run
    assert trigger(weft, run)["body"] is None
    assert ended(weft, run)["output"]["body"] is None


def test_query_path_and_method_are_the_callers(weft: Installation) -> None:
    url = weft.hook("seen") + "/orders/4%202/%C3%AB?a=1&a=2&b=%C3%BC&empty=&plus=1+1"
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        run = call(weft, url, None, {}, method=method).run
        seen = trigger(weft, run)
        assert (seen["method"], seen["path"]) == (method, "/orders/4 2/ë")
        assert seen["query"] == {"a": ["1", "2"], "b": "ü", "empty": "", "plus": "1 1"}
    assert trigger(weft, call(weft, weft.hook("seen"), "1").run)["path"] == ""


def test_paths_and_queries_that_are_no_utf8_are_refused_or_kept_but_never_an_error_of_ours(
    weft: Installation,
) -> None:
    token = weft.hook("seen")
    for rest in ("?a=%ff", "/%ff", "?%00=%00", "/%00", "?" + "&".join("a" * 1001), "/..%2f..", "//x", "?"):
        assert call(weft, token + rest, None, {}).status in (202, 400), rest
    with connected(weft) as caller:
        caller.sendall(
            b"POST " + token.encode() + b"/\xff\xfe HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        )
        assert answers(caller, 1)[0].status in (202, 400)


def test_headers_are_kept_and_credentials_are_not(weft: Installation) -> None:
    headers = {
        "X-GitHub-Event": "push",
        "Authorization": "Bearer s3cret-one",
        "Proxy-Authorization": "Basic s3cret-two",
        "Cookie": "session=s3cret-three",
        "X-Latin": "caf\xe9",
        **JSON,
    }
    run = call(weft, weft.hook("light"), "1", headers).run
    seen = trigger(weft, run)["headers"]
    assert (seen["x-github-event"], seen["x-latin"]) == ("push", "caf\xe9")
    assert not {"authorization", "proxy-authorization", "cookie"} & seen.keys()
    assert "s3cret" not in trigger_text(weft, run)
    with connected(weft) as caller:
        twice = ("X-Twice: 1", "x-twice: 2", "COOKIE: s3cret", "Content-Length: 0")
        caller.sendall(head(weft.hook("light"), *twice))
        seen = trigger(weft, answers(caller, 1)[0].run)["headers"]
    assert seen["x-twice"] == ["1", "2"]
    assert "s3cret" not in str(seen)


def test_chunked_bodies_arrive_whole(weft: Installation) -> None:
    parts = [b'{"a": "', "ü".encode()[:1], "ü".encode()[1:], b"x" * 5000, b'"}']
    connection = http.client.HTTPConnection(weft.address, timeout=30)
    with closing(connection):
        connection.request("POST", weft.hook("light"), iter(parts), JSON, encode_chunked=True)
        run = received(connection).run
    assert trigger(weft, run)["body"] == {"a": "ü" + "x" * 5000}


def test_an_unknown_url_is_a_404(weft: Installation) -> None:
    known = weft.hook("light")
    for url in ("/hooks/", "/hooks/nothing", known[:-1], known + "x", "/hooks/%00", "/hooks/" + "a" * 5000):
        answer = call(weft, url, "1")
        assert (answer.status, answer.json["title"]) == (404, "No such webhook"), url
    assert call(weft, "/hooks", "1").status == 404


def test_a_wrong_method_is_a_405_that_lists_the_right_ones(weft: Installation) -> None:
    answer = call(weft, weft.hook("light"), None, method="GET")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    answer = call(weft, weft.hook("seen"), None, method="OPTIONS")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, PUT, PATCH, DELETE")


def test_undeployed_is_404_and_the_same_url_works_when_it_is_back(weft: Installation) -> None:
    url = weft.hook("leaving")
    before = call(weft, url, "1").run
    weft.push({"deployments/leaving.yaml": None})
    assert call(weft, url, "1").status == 404
    weft.push({"deployments/leaving.yaml": deployment("leaving", pattern="light")})
    assert weft.hook("leaving") == url
    after = call(weft, url, "1").run
    assert {ended(weft, run)["status"] for run in (before, after)} == {"completed"}


def test_paused_is_a_503_that_says_when_to_come_back(weft: Installation) -> None:
    url = weft.hook("pausing")
    weft.push({"deployments/pausing.yaml": deployment("pausing", pattern="light", state="paused")})
    before = runs_of(weft, "pausing")
    answer = call(weft, url, "1")
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) > 0
    assert "paused" in answer.json["detail"]
    assert runs_of(weft, "pausing") == before
    weft.push({"deployments/pausing.yaml": deployment("pausing", pattern="light")})
    assert call(weft, url, "1").status == 202


def test_archived_is_a_410(weft: Installation) -> None:
    url = weft.hook("archiving")
    weft.push({"deployments/archiving.yaml": deployment("archiving", pattern="light", state="archived")})
    assert call(weft, url, "1").status == 410
    assert runs_of(weft, "archiving") == 0


def test_a_pattern_without_a_webhook_has_none(weft: Installation) -> None:
    files = {"patterns/silent.yaml": pattern("silent", LIGHT, on={"call": {}})}
    weft.push(files | {"deployments/silent.yaml": deployment("silent")})
    [[token]] = weft.rows("SELECT hook_token FROM deployments WHERE name = 'silent'")
    assert call(weft, f"/hooks/{token}", "1").status == 404


def test_a_body_beyond_the_limit_is_a_413_by_its_length(weft: Installation) -> None:
    url = weft.hook("small")
    text = {"content-type": "text/plain"}
    assert call(weft, url, "x" * 1024, text).status == 202
    assert call(weft, url, "x" * 1025, text).status == 413
    with connected(weft) as caller:
        # The answer comes before the body does.
        caller.sendall(head(url, "Content-Length: 999999999"))
        answer = answers(caller, 1)[0]
    assert answer.status == 413
    assert "1,024" in answer.json["detail"]


def test_a_body_beyond_the_limit_is_a_413_when_it_comes_in_chunks(weft: Installation) -> None:
    with connected(weft) as caller:
        caller.sendall(head(weft.hook("small"), "Transfer-Encoding: chunked"))
        for _ in range(3):
            caller.sendall(b"200\r\n" + b"x" * 512 + b"\r\n")
        assert answers(caller, 1)[0].status == 413


def test_a_connection_serves_many_requests(weft: Installation) -> None:
    connection = http.client.HTTPConnection(weft.address, timeout=30)
    with closing(connection):
        connection.connect()
        first = connection.sock
        statuses = []
        for number, url in enumerate([weft.hook("light"), "/hooks/nothing", weft.hook("small")] * 3):
            connection.request("POST", url, json.dumps({"number": number}), JSON)
            statuses.append(received(connection).status)
        assert connection.sock is first
    assert statuses == [202, 404, 202] * 3


def test_pipelined_requests_are_answered_in_order(weft: Installation) -> None:
    bodies = [json.dumps({"number": number}).encode() for number in range(20)]
    url = weft.hook("light")
    with connected(weft) as caller:
        lines = [(f"Content-Length: {len(body)}", "Content-Type: application/json") for body in bodies]
        caller.sendall(b"".join(head(url, *line) + body for line, body in zip(lines, bodies, strict=True)))
        runs = [answer.run for answer in answers(caller, 20)]
    assert [trigger(weft, run)["body"]["number"] for run in runs] == list(range(20))


def test_a_caller_that_hangs_up_in_the_middle_leaves_nothing(weft: Installation) -> None:
    before = runs_of(weft, "light")
    for partial in (b'{"a": ', b'{"a": 1}'):  # even when what came would be valid
        with connected(weft) as caller:
            caller.sendall(head(weft.hook("light"), "Content-Length: 100", "Content-Type: application/json"))
            caller.sendall(partial)
    with connected(weft) as caller:
        caller.sendall(head(weft.hook("light"), "Transfer-Encoding: chunked") + b"5\r\n12345\r\n")
    assert call(weft, weft.hook("light"), "1").status == 202
    assert runs_of(weft, "light") == before + 1


def test_a_slow_body_holds_nobody_else_up(weft: Installation) -> None:
    body = b'{"slow": true}'
    with connected(weft) as caller:
        lines = ("Content-Type: application/json", f"Content-Length: {len(body)}")
        caller.sendall(head(weft.hook("light"), *lines))
        for byte in body:
            caller.sendall(bytes([byte]))
            began = time.monotonic()
            assert call(weft, weft.hook("light"), "1").status == 202
            assert time.monotonic() - began < 1
        run = answers(caller, 1)[0].run
    assert trigger(weft, run)["body"] == {"slow": True}


def test_expect_continue_is_honoured(weft: Installation) -> None:
    with connected(weft) as caller:
        caller.sendall(head(weft.hook("light"), "Expect: 100-continue", "Content-Length: 2"))
        assert caller.recv(100).startswith(b"HTTP/1.1 100")
        caller.sendall(b"hi")
        assert trigger(weft, answers(caller, 1)[0].run)["body"] == "hi"


def test_200_callers_at_once_each_get_a_run_of_their_own(weft: Installation) -> None:
    url = weft.hook("seen")

    def one(number: int) -> tuple[int, str]:
        return number, call(weft, url, json.dumps({"number": number})).run

    with concurrent.futures.ThreadPoolExecutor(200) as threads:
        runs = dict(threads.map(one, range(200)))
    assert len(set(runs.values())) == 200
    weft.await_ends(set(runs.values()))
    outputs = dict(weft.rows("SELECT id::text, output FROM runs WHERE status = 'completed'"))
    assert {number: outputs[run]["body"]["number"] for number, run in runs.items()} == {
        number: number for number in range(200)
    }


def test_what_is_acknowledged_is_there_for_everybody_at_that_moment(weft: Installation) -> None:
    url = weft.hook("light")

    def one(_: int) -> int:
        with weft.database() as connection:
            found = 0
            for _ in range(25):
                run = call(weft, url, "1").run
                found += connection.execute("SELECT 1 FROM runs WHERE id = %s", [run]).rowcount
            return found

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert list(threads.map(one, range(8))) == [25] * 8


def test_with_the_database_killed_a_call_is_refused_and_leaves_nothing(weft: Installation) -> None:
    url = weft.hook("light")
    accepted, statuses = set(), set()

    def calls(until: float) -> None:
        while time.monotonic() < until:
            for path in (url, "/hooks/nothing"):
                answer = call(weft, path, '{"outage": 1}')
                statuses.add((path == url, answer.status))
                if answer.status == 202:
                    accepted.add(answer.run)
                elif answer.status == 503:
                    assert int(answer.headers["retry-after"]) > 0

    [server] = weft.pids("postgres")
    # Its successor cannot come up while its place is taken away.
    cluster = weft.data / "postgresql"
    cluster.rename(cluster.with_name("away"))
    os.kill(server, signal.SIGKILL)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(calls, time.monotonic() + 2.5) for _ in range(4)]:
                done.result()
    finally:
        cluster.with_name("away").rename(cluster)
    assert (True, 503) in statuses
    assert statuses <= {(True, 202), (True, 503), (False, 404), (False, 503)}
    eventually(lambda: call(weft, url, '{"after": 1}').status == 202)
    weft.await_ends(accepted)
    known = {run for (run,) in weft.rows("SELECT id::text FROM runs WHERE trigger::text LIKE '%%outage%%'")}
    assert accepted <= known
    assert len(known - accepted) <= 4  # those whose answer was lost with the server, one for each caller


def test_a_database_that_hangs_lets_nobody_wait_for_ever(weft: Installation) -> None:
    url = weft.hook("light")
    servers = weft.named("postgres")
    for pid in servers:
        os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(12) as threads:
            unknown = [threads.submit(call, weft, "/hooks/nothing", "1") for _ in range(6)]
            known = [threads.submit(call, weft, url, '{"hanging": 1}') for _ in range(6)]
            got = [caller.result() for caller in known]
            assert {caller.result().status for caller in unknown} <= {404, 503}
        assert [answer.status for answer in got] == [503] * 6
        assert all(answer.headers["retry-after"] for answer in got)
        assert time.monotonic() - began < 20
        began = time.monotonic()
        assert call(weft, url, "1").status == 503
        assert time.monotonic() - began < 2, "who comes later need not wait"
        assert call(weft, "/healthz", None, method="GET").status == 200
    finally:
        for pid in servers:
            os.kill(pid, signal.SIGCONT)
    eventually(lambda: call(weft, url, "1").status == 202)
    assert set(weft.await_ends().values()) <= {"completed", "failed"}


def test_without_the_broker_calls_are_accepted_and_run_when_it_is_back(weft: Installation) -> None:
    url = weft.hook("light")
    for stop, go in ((signal.SIGKILL, None), (signal.SIGSTOP, signal.SIGCONT)):
        [server] = weft.pids("valkey-server")
        os.kill(server, stop)
        began = time.monotonic()
        runs = {call(weft, url, "1").run for _ in range(10)}
        assert time.monotonic() - began < 3, f"acknowledged after {time.monotonic() - began:.1f} s"
        if go is not None:
            os.kill(server, go)
        weft.await_ends(runs, seconds=30)


def test_the_log_has_no_traceback(weft: Installation) -> None:
    """Whatever the tests above sent, none of it was an error of ours."""
    told = [event for event in weft.events() if "traceback" in event]
    assert not told, told


def test_a_full_deployment_that_rejects_is_a_409(weft: Installation) -> None:
    url = weft.hook("full")
    assert call(weft, url).status == 202
    answer = call(weft, url)
    assert (answer.status, runs_of(weft, "full")) == (409, 1)
    assert "concurrency" in answer.json["detail"]


def test_an_open_circuit_is_a_503_that_says_when_to_come_back(weft: Installation) -> None:
    url = weft.hook("broken")
    ended(weft, call(weft, url).run)
    answer = call(weft, url)
    assert (answer.status, runs_of(weft, "broken")) == (503, 1)
    assert 3500 < int(answer.headers["retry-after"]) <= 3600
