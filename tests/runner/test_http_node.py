"""The `http` node against real servers, good and bad."""

from __future__ import annotations

import base64
import email.utils
import gzip
import os
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from http_site import Answer, Seen, Sender, Site, raw_server, sending, text_answer


@pytest.fixture
def send() -> Iterator[Sender]:
    with sending() as sender:
        yield sender


# What is sent


def test_a_get_gives_status_headers_and_parsed_body(send: Sender, site: Site) -> None:
    answer = send(f"{site.url}/orders?a=1", query={"b": [1, True, None], "c": "ä &"}, headers={"X-Trace": 7})
    assert answer["status"] == 200
    assert answer["headers"]["content-type"] == "application/json"
    assert all(name == name.lower() for name in answer["headers"])
    assert answer["body"]["path"] == "/orders"
    assert answer["body"]["query"] == "a=1&b=1&b=true&c=%C3%A4+%26"
    assert answer["body"]["headers"]["x-trace"] == "7"
    assert answer["body"]["headers"]["host"] == f"localhost:{site.port}"
    assert "idempotency-key" not in answer["body"]["headers"]


@pytest.mark.parametrize(
    ("inputs", "content_type", "body"),
    [
        ({"json": {"a": [1, None]}}, "application/json", '{"a":[1,null]}'),
        ({"json": None}, "application/json", "null"),
        ({"form": {"a": 1, "b": ["x", "y z"]}}, "application/x-www-form-urlencoded", "a=1&b=x&b=y+z"),
        ({"body": "ä"}, "text/plain; charset=utf-8", "ä"),
        ({"body": "<a/>", "headers": {"Content-Type": "text/xml"}}, "text/xml", "<a/>"),
    ],
)
def test_bodies_come_with_their_type(
    send: Sender, site: Site, inputs: dict[str, Any], content_type: str, body: str
) -> None:
    seen = send(site.url, method="POST", **inputs)["body"]
    assert (seen["headers"]["content-type"], seen["body"]) == (content_type, body)


def test_changing_methods_carry_the_key_of_the_node(send: Sender, site: Site) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert send(site.url, method=method)["body"]["headers"]["idempotency-key"] == "run-1/ask"
    own = send(site.url, method="POST", headers={"Idempotency-Key": "mine"})["body"]["headers"]
    assert own["idempotency-key"] == "mine"


def test_credentials_of_the_url_go_into_the_header(send: Sender, site: Site) -> None:
    url = site.url.replace("://", "://ada:s%3Acret@")
    assert send(url)["body"]["headers"]["authorization"] == "Basic YWRhOnM6Y3JldA=="


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"url": "ftp://example.com"}, "begins with http:// or https://"),
        ({"url": "/orders"}, "begins with http:// or https://"),
        ({"url": "http://"}, "begins with http:// or https://"),
        ({"url": "http://[::1"}, "not a valid address"),
        ({"url": "http://a b/"}, "no valid host"),
        ({"url": "http://example.com:99999"}, "no valid host and port"),
        ({"url": 7}, "must be text"),
        ({"method": "GET /"}, "`method` cannot be"),
        ({"headers": {"X-Secret": "hunter2\r\nEvil: 1"}}, "the header X-Secret has a line break"),
        ({"headers": {"X Y": "1"}}, "cannot be the name of a header"),
        ({"headers": {"Content-Length": "1"}}, "leave it out"),
        ({"headers": {"X-A": {}}}, "the header X-A must be text or a number, not dict"),
        ({"json": 1, "form": {}}, "takes only one of `json` and `form`"),
        ({"form": {"a": {}}}, "'a' in `form` must be text"),
        ({"json": 2**64}, "`json` cannot be written as JSON"),
        ({"expect": 404}, "`expect` must be a list"),
        ({"expect": ["ok"]}, "'ok' in `expect`"),
        ({"maxResponse": "17MiB"}, "between 1B and 16MiB"),
        ({"maxResponse": "much"}, "is not a size"),
    ],
)
def test_what_cannot_be_sent_is_refused(send: Sender, inputs: dict[str, Any], reason: str) -> None:
    error = send.error(**{"url": "http://example.com/", **inputs})
    assert error.type == "bad_request"
    assert reason in error.message
    assert "hunter2" not in error.message
    assert not error.retryable


# What comes back


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (text_answer(b'{"a": 1}', "application/problem+json; charset=utf-8"), {"a": 1}),
        (text_answer(b"{oops", "application/json"), "{oops"),
        (text_answer(b"", "application/json"), None),
        (text_answer("grüß".encode("latin-1"), "text/html; charset=iso-8859-1"), "grüß"),
        (text_answer("grüß".encode()), "grüß"),
        (text_answer(b"\xff\xfe", "image/png"), {"base64": "//4="}),
        (text_answer(b"a\x00b"), {"base64": "YQBi"}),
        (text_answer(b"x", "text/plain; charset=martian"), {"base64": "eA=="}),
        (text_answer(gzip.compress(b"packed"), **{"Content-Encoding": "gzip"}), "packed"),
        (
            text_answer(gzip.compress(b"pa") + gzip.compress(b"cked"), **{"Content-Encoding": "gzip"}),
            "packed",
        ),
        (text_answer(gzip.compress(b"packed") + bytes(9), **{"Content-Encoding": "gzip"}), "packed"),
        (text_answer(b"", **{"Content-Encoding": "gzip"}), ""),
        (text_answer(zlib.compress(b"packed"), **{"Content-Encoding": "deflate"}), "packed"),
        (text_answer(zlib.compress(b"packed")[2:-4], **{"Content-Encoding": "deflate"}), "packed"),
        ((204, {}, b""), ""),
    ],
)
def test_bodies_are_json_text_or_base64(send: Sender, site: Site, answer: Answer, body: Any) -> None:
    site.answers["/"] = answer
    assert send(site.url)["body"] == body


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; charset=punycode",  # takes the square of what it decodes
        'text/plain; a="' + ";" * 60_000,  # takes the square of its own length
    ],
)
def test_no_answer_says_how_long_it_takes_to_read_it(send: Sender, site: Site, content_type: str) -> None:
    site.answers["/"] = text_answer(b"-" + b"a" * 500_000, content_type)
    began = time.process_time()
    assert send(site.url)["status"] == 200
    assert time.process_time() - began < 1


def test_a_head_has_no_body(send: Sender, site: Site) -> None:
    site.answers["/"] = text_answer(b"x" * 100)
    answer = send(site.url, method="HEAD")
    assert (answer["headers"]["content-length"], answer["body"]) == ("100", "")


def test_another_status_is_an_error_that_shows_no_secret(send: Sender, site: Site) -> None:
    site.answers["/orders"] = (404, {}, b"no such order " + b"x" * 1000)
    url = site.url.replace("://", "://ada:secret@") + "/orders?token=secret"
    error = send.error(url, headers={"Authorization": "secret", "X-Key": "secret"})
    assert error.type == "http_status"
    assert error.message.startswith(f"GET {site.url}/orders: status 404: no such order xxx")
    assert len(error.message) < 300
    assert "secret" not in error.message + error.hint
    assert not error.retryable


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        *((status, False) for status in (400, 401, 403, 404, 405, 409, 410, 422, 501, 505)),
        *((status, True) for status in (408, 425, 429, 500, 502, 503, 504, 520)),
    ],
)
def test_a_retry_is_offered_where_it_can_help(send: Sender, site: Site, status: int, retryable: bool) -> None:
    site.answers["/"] = (status, {}, b"")
    error = send.error(site.url)
    assert error.retryable is retryable
    assert error.retry_after is None


def test_retry_after_is_heard_in_seconds_and_as_a_date(send: Sender, site: Site) -> None:
    site.answers["/"] = (503, {"Retry-After": "17"}, b"")
    assert send.error(site.url).retry_after == 17
    site.answers["/"] = (503, {"Retry-After": email.utils.formatdate(time.time() + 60, usegmt=True)}, b"")
    assert 50 < (send.error(site.url).retry_after or 0) <= 60
    site.answers["/"] = (503, {"Retry-After": "Fri, 01 Jan 2010 00:00:00 GMT"}, b"")
    assert send.error(site.url).retry_after == 0
    site.answers["/"] = (503, {"Retry-After": "Fri, 01 Jan 2010 00:00:00 -0000"}, b"")
    assert send.error(site.url).retry_after == 0
    site.answers["/"] = (503, {"Retry-After": "99999999"}, b"")
    assert send.error(site.url).retry_after == 3600
    for text in ("soon", "Mon, 01 Jan 2020 00:00:009299999999"):
        site.answers["/"] = (503, {"Retry-After": text}, b"")
        assert send.error(site.url).retry_after is None


def test_expected_statuses_are_no_errors(send: Sender, site: Site) -> None:
    site.answers["/"] = (404, {}, b"none")
    assert send(site.url, expect=["200-299", 404])["status"] == 404
    assert send(site.url, expect=["404"])["body"] == "none"
    site.answers["/"] = (200, {}, b"")
    assert send.error(site.url, expect=[404]).type == "http_status"


# How much comes back


def test_an_answer_larger_than_allowed_is_cut_off(send: Sender, site: Site) -> None:
    site.answers["/"] = text_answer(b"x" * 1000)
    assert len(send(site.url, maxResponse="1kB")["body"]) == 1000
    error = send.error(site.url, maxResponse=999)
    assert error.type == "too_large"
    assert "larger than 999 bytes" in error.message
    assert not error.retryable
    site.answers["/"] = text_answer(b"x" * (1024 * 1024 + 1))
    assert send.error(site.url).type == "too_large"


def test_an_endless_answer_is_cut_off(send: Sender) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 100_000)

    with raw_server(serve) as url:
        assert send.error(url).type == "too_large"


def test_a_compressed_bomb_is_cut_off_before_it_unfolds(send: Sender, site: Site) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    site.answers["/"] = text_answer(bomb, **{"Content-Encoding": "gzip"})
    tracemalloc.start()
    try:
        assert send.error(site.url).type == "too_large"
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    twice = gzip.compress(bomb)
    site.answers["/"] = text_answer(twice, **{"Content-Encoding": "gzip, gzip"})
    # Several codings were not asked for and stay as they are.
    assert send(site.url)["body"] == {"base64": base64.b64encode(twice).decode()}


def test_what_cannot_be_decompressed_is_a_connection_error(send: Sender, site: Site) -> None:
    for content in (
        b"no gzip",
        gzip.compress(b"packed")[:-3],
        gzip.compress(b"a") + gzip.compress(b"b")[:-3],
    ):
        site.answers["/"] = text_answer(content, **{"Content-Encoding": "gzip"})
        error = send.error(site.url)
        assert (error.type, error.retryable) == ("connection", True), content


# Redirects


def test_redirects_are_followed_with_the_methods_that_the_standard_asks_for(send: Sender, site: Site) -> None:
    for status, method in ((301, "GET"), (302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")):
        site.answers["/from"] = (status, {"Location": "to?x=1"}, b"moved")
        seen = send(f"{site.url}/from", method="POST", json={"a": 1})["body"]
        assert (seen["method"], seen["path"], seen["query"]) == (method, "/to", "x=1")
        assert seen["body"] == ('{"a":1}' if method == "POST" else "")
        assert ("content-type" in seen["headers"]) is (method == "POST")


def test_redirects_need_not_be_followed(send: Sender, site: Site) -> None:
    site.answers["/"] = (302, {"Location": "/to"}, b"")
    assert send(site.url, followRedirects=False, expect=[302])["headers"]["location"] == "/to"
    assert send.error(site.url, followRedirects=False).type == "http_status"


def test_credentials_stay_with_their_host(send: Sender, site: Site, other: Site) -> None:
    site.answers["/"] = (302, {"Location": f"{other.url}/there"}, b"")
    site.answers["/same"] = (302, {"Location": "/there"}, b"")
    headers = {"Authorization": "a", "Cookie": "b", "X-Other": "c"}
    assert not {"authorization", "cookie"} & send(site.url, headers=headers)["body"]["headers"].keys()
    assert send(site.url, headers=headers)["body"]["headers"]["x-other"] == "c"
    assert send(f"{site.url}/same", headers=headers)["body"]["headers"]["authorization"] == "a"


def test_redirects_in_a_circle_end(send: Sender, site: Site) -> None:
    site.answers["/"] = (302, {"Location": "/"}, b"")
    assert send.error(site.url).type == "too_many_redirects"
    assert len(site.seen) == 6


def test_redirects_lead_to_http_only(send: Sender, site: Site) -> None:
    site.answers["/"] = (302, {"Location": "file:///etc/passwd"}, b"")
    error = send.error(site.url)
    assert (error.type, error.retryable) == ("bad_request", False)


def test_cookies_of_an_answer_are_not_kept(send: Sender, site: Site) -> None:
    site.answers["/"] = (200, {"Set-Cookie": "session=1"}, b"")
    assert send(site.url)["headers"]["set-cookie"] == "session=1"
    assert "cookie" not in send(f"{site.url}/next")["body"]["headers"]


# Where it may go


def test_this_machine_is_refused_unless_allowed(send: Sender, site: Site) -> None:
    error = send.error(site.url, allow=())
    assert error.type == "blocked_address"
    assert "localhost leads to 127.0.0.1" in error.message or "localhost leads to ::1" in error.message
    assert (
        error.hint == f'to allow it, add "localhost:{site.port}", or a network, to network.allow in weft.yaml'
    )
    assert not error.retryable
    assert send.error(f"http://2130706433:{site.port}", allow=()).type == "blocked_address"
    assert send.error(f"http://[::ffff:127.0.0.1]:{site.port}", allow=()).type == "blocked_address"
    assert send(site.url, allow=(f"localhost:{site.port}",))["status"] == 200


def test_a_redirect_into_a_private_network_is_refused(send: Sender, site: Site, other: Site) -> None:
    site.answers["/"] = (302, {"Location": other.url}, b"")
    assert send.error(site.url, allow=(f"localhost:{site.port}",)).type == "blocked_address"
    assert other.seen == []


def test_a_connection_that_one_project_may_use_is_none_for_another(send: Sender, site: Site) -> None:
    assert send(site.url)["status"] == 200
    assert send.error(site.url, allow=()).type == "blocked_address"


def test_an_unreadable_entry_is_named(send: Sender) -> None:
    error = send.error("http://example.com", allow=("nowhere",))
    assert error.type == "bad_request"
    assert "network.allow in weft.yaml: 'nowhere' is neither" in error.message


def test_no_proxy_is_taken_from_the_environment(
    send: Sender, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert send(site.url)["status"] == 200


# How it fails


def test_nobody_listening_is_a_connection_error(send: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = send.error(f"http://127.0.0.1:{port}/x?secret")
    assert (error.type, error.retryable) == ("connection", True)
    assert error.message == f"GET http://127.0.0.1:{port}/x: Connection refused"


def test_an_unknown_name_is_a_connection_error(send: Sender) -> None:
    error = send.error("http://nobody.invalid/")
    assert (error.type, error.retryable) == ("connection", True)
    assert "the address of nobody.invalid was not found" in error.message


@pytest.mark.parametrize(
    "answer", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"]
)
def test_a_broken_answer_is_a_connection_error(send: Sender, answer: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(answer)

    with raw_server(serve) as url:
        error = send.error(url)
    assert (error.type, error.retryable) == ("connection", True)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"])
def test_a_silent_server_is_a_timeout(send: Sender, start: bytes) -> None:
    with raw_server(lambda connection: answer_slowly(connection, start)) as url:
        began = time.monotonic()
        error = send.error(f"{url}/slow?secret", timeout=0.3)
        assert 0.25 < time.monotonic() - began < 0.6
    assert (error.type, error.retryable) == ("timeout", True)
    assert error.message == f"GET {url}/slow: no complete answer within 0.3 s"


def answer_slowly(connection: socket.socket, start: bytes) -> None:
    connection.recv(10_000)
    connection.sendall(start)
    while connection.recv(10_000):
        pass


def test_a_dripping_server_does_not_stretch_the_timeout(send: Sender) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.02)

    with raw_server(serve) as url:
        began = time.monotonic()
        assert send.error(url, timeout=0.3).type == "timeout"
        assert time.monotonic() - began < 0.6


def test_a_server_that_takes_no_body_is_a_timeout(send: Sender) -> None:
    done = threading.Event()
    with raw_server(lambda connection: (done.wait(5), None)[1]) as url:
        assert send.error(url, timeout=0.3, method="POST", body="x" * 20_000_000).type == "timeout"
        done.set()


def test_no_time_left_is_a_timeout(send: Sender, site: Site) -> None:
    assert send.error(site.url, timeout=-1).type == "timeout"
    assert site.seen == []


def test_cancelling_aborts_a_request_in_flight(send: Sender) -> None:
    closed = threading.Event()
    arrived = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(10_000)
        arrived.set()
        answer_slowly(connection, b"")
        closed.set()

    cancelled = threading.Event()
    with raw_server(serve) as url, ThreadPoolExecutor(1) as pool:
        future = pool.submit(send.error, url, timeout=30, cancelled=cancelled)
        assert arrived.wait(5)
        cancelled.set()
        began = time.monotonic()
        assert future.result().type == "cancelled"
        assert time.monotonic() - began < 0.2
        assert closed.wait(5)


# Connections


def test_connections_are_kept_and_replaced_when_the_server_closes_them(send: Sender, site: Site) -> None:
    for _ in range(5):
        send(site.url)
    assert len(site.connections) == 1
    site.answers["/bye"] = (200, {"Connection": "close"}, b"")
    send(f"{site.url}/bye")
    send(site.url)
    assert len(site.connections) == 2


def test_a_kept_connection_that_was_closed_meanwhile_is_not_used(send: Sender) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with raw_server(serve) as url:
        for _ in range(5):
            assert send(url, method="POST")["body"] == "ok"
            time.sleep(0.02)


def test_sixteen_threads_send_at_the_same_time(send: Sender, site: Site) -> None:
    def slow(_: Seen) -> Answer:
        time.sleep(0.05)
        return 200, {"Content-Type": "application/json"}, b"1"

    site.answers["/slow"] = slow
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: send(f"{site.url}/slow"), range(96)))
    assert [answer["body"] for answer in answers] == [1] * 96
    assert time.monotonic() - began < 2
    assert len(site.connections) <= 16


def test_twenty_requests_are_under_way_at_the_same_time(send: Sender, site: Site) -> None:
    together = threading.Barrier(20)

    def wait_for_all(_: Seen) -> Answer:
        together.wait(5)
        return text_answer(b"all here")

    site.answers["/"] = wait_for_all
    for _ in range(2):
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: send(site.url)["body"], range(20)))
        assert answers == ["all here"] * 20
    assert len(site.connections) == 20


def test_many_policies_leave_few_descriptors_open(send: Sender, site: Site) -> None:
    send(site.url)
    before = len(os.listdir("/proc/self/fd"))
    for n in range(100):
        send(site.url, allow=(f"localhost:{site.port}", f"10.0.0.{n}"))
    assert len(os.listdir("/proc/self/fd")) - before < 100
