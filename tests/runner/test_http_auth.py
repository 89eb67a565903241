"""As whom an `http` node asks, and to whom it tells that."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import pytest
from http_site import Answer, Seen, Sender, Site, json_answer, sending


@pytest.fixture
def send() -> Iterator[Sender]:
    with sending() as sender:
        yield sender


class TokenServer:
    """At /token of a site: gives t1, t2… The site's /api takes `good` only."""

    def __init__(self, site: Site, **answer: Any) -> None:
        self.given = 0
        self.good: set[str] = set()
        self.answer = {"token_type": "Bearer", "expires_in": 3600} | answer
        self.wait = 0.0
        self._lock = threading.Lock()
        site.answers["/token"] = self._give
        site.answers["/api"] = self._take

    def _give(self, _: Seen) -> Answer:
        with self._lock:
            self.given += 1
            token = f"t{self.given}"
        time.sleep(self.wait)
        self.good.add(token)
        return json_answer({"access_token": token, **self.answer})

    def _take(self, seen: Seen) -> Answer:
        token = seen["headers"].get("authorization", "").removeprefix("Bearer ")
        return json_answer(token) if token in self.good else (401, {}, b"no")


def oauth2(site: Site, **more: Any) -> dict[str, Any]:
    keys = {"tokenUrl": f"{site.url}/token", "clientId": "weft:1", "clientSecret": "s3cret&"}
    return {"auth": {"oauth2": keys | more}}


# What is sent


def test_basic_and_bearer_go_into_the_header(send: Sender, site: Site) -> None:
    auth: dict[str, Any] = {"basic": {"username": "ada", "password": "s:ß"}}
    sent = send(site.url, auth=auth)["body"]["headers"]["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "ada:s:ß"
    auth = {"bearer": {"token": "abc"}}
    assert send(site.url, auth=auth)["body"]["headers"]["authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"auth": "hunter2"}, "`auth` must be a mapping"),
        ({"auth": {}}, "`auth` needs one of basic, bearer, oauth2"),
        ({"auth": {"digest": {}}}, "`auth` takes no 'digest'"),
        ({"auth": {"basic": {}, "bearer": {}}}, "only one of `basic` and `bearer`"),
        ({"auth": {"basic": {"username": "a:b", "password": "hunter2"}}}, "cannot have a colon"),
        ({"auth": {"basic": {"password": "hunter2"}}}, "`auth.basic.username` must be text"),
        ({"auth": {"bearer": {"token": "hunter2\r\nX: 1"}}}, "no header can hold"),
        ({"auth": {"bearer": {"token": ""}}}, "`auth.bearer.token` must be text that is not empty"),
        (
            {"auth": {"oauth2": {"clientId": "a", "clientSecret": "hunter2"}}},
            "`auth.oauth2.tokenUrl` must be text",
        ),
        (
            {"auth": {"oauth2": {"tokenUrl": "file:///hunter2", "clientId": "a", "clientSecret": "b"}}},
            "`auth.oauth2.tokenUrl` is not a valid address",
        ),
        (
            {"auth": {"oauth2": {"tokenUrl": "http://a:hunter2@b/", "clientId": "a", "clientSecret": "b"}}},
            "must name no user",
        ),
        (
            {"auth": {"bearer": {"token": "hunter2"}}, "headers": {"AUTHORIZATION": "x"}},
            "`auth` does not go with a header Authorization",
        ),
    ],
)
def test_what_says_not_who_is_refused(send: Sender, inputs: dict[str, Any], reason: str) -> None:
    error = send.error("http://example.com/", **inputs)
    assert (error.type, error.retryable) == ("bad_request", False)
    assert reason in error.message
    assert "hunter2" not in error.message + error.hint


def test_auth_and_a_user_in_the_url_do_not_go_together(send: Sender) -> None:
    error = send.error("http://ada:hunter2@example.com/", auth={"bearer": {"token": "x"}})
    assert "take one" in error.message
    assert "hunter2" not in error.message


# Client credentials


def test_a_token_is_fetched_once_and_kept(send: Sender, site: Site) -> None:
    tokens = TokenServer(site)
    for _ in range(3):
        assert send(f"{site.url}/api", **oauth2(site))["body"] == "t1"
    assert tokens.given == 1
    asked = site.seen[0]
    assert (asked["method"], asked["path"]) == ("POST", "/token")
    assert parse_qs(asked["body"]) == {"grant_type": ["client_credentials"]}
    pair = base64.b64decode(asked["headers"]["authorization"].removeprefix("Basic ")).decode()
    assert pair == "weft%3A1:s3cret%26"


def test_the_client_may_show_itself_in_the_body(send: Sender, site: Site) -> None:
    TokenServer(site)
    send(f"{site.url}/api", **oauth2(site, clientAuth="post", scope="a b", audience="https://x.example"))
    assert "authorization" not in site.seen[0]["headers"]
    assert parse_qs(site.seen[0]["body"]) == {
        "grant_type": ["client_credentials"],
        "client_id": ["weft:1"],
        "client_secret": ["s3cret&"],
        "scope": ["a b"],
        "audience": ["https://x.example"],
    }


def test_another_scope_or_client_has_another_token(send: Sender, site: Site) -> None:
    TokenServer(site)
    assert send(f"{site.url}/api", **oauth2(site))["body"] == "t1"
    assert send(f"{site.url}/api", **oauth2(site, scope="a"))["body"] == "t2"
    assert send(f"{site.url}/api", **oauth2(site, clientSecret="other"))["body"] == "t3"
    assert send(f"{site.url}/api", **oauth2(site, scope="a"))["body"] == "t2"


def test_one_thread_fetches_for_all(send: Sender, site: Site) -> None:
    tokens = TokenServer(site)
    tokens.wait = 0.1
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: send(f"{site.url}/api", **oauth2(site))["body"], range(32)))
    assert (set(answers), tokens.given) == ({"t1"}, 1)


def test_a_token_is_not_used_shortly_before_its_end(send: Sender, site: Site) -> None:
    tokens = TokenServer(site, expires_in=1)
    assert send(f"{site.url}/api", **oauth2(site))["body"] == "t1"
    assert send(f"{site.url}/api", **oauth2(site))["body"] == "t1"
    time.sleep(0.92)
    assert send(f"{site.url}/api", **oauth2(site))["body"] == "t2"
    assert tokens.given == 2


def test_a_token_without_an_end_is_kept(send: Sender, site: Site) -> None:
    tokens = TokenServer(site, expires_in=None)
    for _ in range(2):
        send(f"{site.url}/api", **oauth2(site))
    assert tokens.given == 1


def test_a_token_that_is_not_taken_any_more_is_fetched_anew_once(send: Sender, site: Site) -> None:
    tokens = TokenServer(site)
    send(f"{site.url}/api", **oauth2(site))
    tokens.good.clear()
    assert send(f"{site.url}/api", method="POST", json={"a": 1}, **oauth2(site))["body"] == "t2"
    assert site.seen[-1]["body"] == '{"a":1}'
    site.answers["/api"] = (401, {}, b"never")
    error = send.error(f"{site.url}/api", **oauth2(site))
    assert (error.type, error.retryable, tokens.given) == ("http_status", False, 3)
    assert [seen["path"] for seen in site.seen[-3:]] == ["/api", "/token", "/api"]


@pytest.mark.parametrize(
    ("answer", "retryable", "told"),
    [
        ((400, {}, b'{"error": "invalid_client", "error_description": "s3cret"}'), False, "(invalid_client)"),
        ((401, {}, b"s3cret"), False, "status 401"),
        ((400, {}, b'{"error": "s3cret&"}'), False, "status 400"),
        ((503, {"Retry-After": "7"}, b""), True, "status 503"),
        ((302, {"Location": "/elsewhere"}, b""), False, "status 302"),
        ((200, {}, b"<html>s3cret"), False, "the answer has no bearer token"),
        ((200, {}, b'["s3cret"]'), False, "the answer has no bearer token"),
        ((200, {}, b'{"access_token": "a b"}'), False, "the answer has no bearer token"),
        (
            (200, {}, b'{"access_token": "s3cret", "token_type": "mac"}'),
            False,
            "the answer has no bearer token",
        ),
        (
            (200, {}, b'{"access_token": "s3cret", "expires_in": [1]}'),
            False,
            "the answer has no bearer token",
        ),
    ],
)
def test_no_token_is_an_error_without_secrets(
    send: Sender, site: Site, answer: Answer, retryable: bool, told: str
) -> None:
    site.answers["/token"] = answer
    error = send.error(f"{site.url}/api", **oauth2(site))
    assert (error.type, error.retryable) == ("no_token", retryable)
    assert error.message.startswith(f"POST {site.url}/token: ")
    assert told in error.message
    assert "s3cret" not in error.message + error.hint
    assert error.retry_after == (7 if retryable else None)
    assert len(site.seen) == 1


def test_a_failed_fetch_is_not_kept(send: Sender, site: Site) -> None:
    site.answers["/token"] = (500, {}, b"")
    assert send.error(f"{site.url}/api", **oauth2(site)).type == "no_token"
    TokenServer(site)
    assert send(f"{site.url}/api", **oauth2(site))["body"] == "t1"


def test_who_waits_for_a_token_of_another_keeps_to_its_own_time(send: Sender, site: Site) -> None:
    tokens = TokenServer(site)
    tokens.wait = 0.5
    with ThreadPoolExecutor(2) as pool:
        patient = pool.submit(send, f"{site.url}/api", **oauth2(site))
        time.sleep(0.1)
        began = time.monotonic()
        assert send.error(f"{site.url}/api", timeout=0.1, **oauth2(site)).type == "timeout"
        assert time.monotonic() - began < 0.3
        assert patient.result()["body"] == "t1"


def test_the_time_of_the_one_who_fetches_is_not_that_of_the_others(send: Sender, site: Site) -> None:
    tokens = TokenServer(site)
    tokens.wait = 0.3
    with ThreadPoolExecutor(2) as pool:
        hasty = pool.submit(send.error, f"{site.url}/api", timeout=0.2, **oauth2(site))
        time.sleep(0.1)
        assert send(f"{site.url}/api", **oauth2(site))["body"] == "t2"
        assert hasty.result().type == "timeout"


def test_the_token_address_is_under_the_same_rules(send: Sender, site: Site, other: Site) -> None:
    tokens = TokenServer(other)
    error = send.error(f"{site.url}/api", allow=(f"localhost:{site.port}",), **oauth2(other))
    assert (error.type, tokens.given) == ("blocked_address", 0)
    assert send(site.url, **oauth2(other))["status"] == 200
    error = send.error(site.url, allow=(f"localhost:{site.port}",), **oauth2(other))
    assert error.type == "blocked_address", "a token that another project may fetch is nothing for this one"


# To whom it is told


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "inputs",
    [
        {"auth": {"basic": {"username": "ada", "password": "s"}}},
        {"auth": {"bearer": {"token": "t"}}},
        {"headers": {"Authorization": "a", "Cookie": "b", "Proxy-Authorization": "c"}},
        {"auth": {"oauth2": {}}},
    ],
)
def test_no_credentials_go_to_another_origin(
    send: Sender, site: Site, other: Site, inputs: dict[str, Any], status: int
) -> None:
    TokenServer(site)
    site.answers["/"] = (status, {"Location": f"{other.url}/there"}, b"")
    if inputs == {"auth": {"oauth2": {}}}:
        inputs = oauth2(site)
    other.answers["/there"] = (401, {}, b"")
    error = send.error(site.url, method="POST", json={}, **inputs)
    assert (error.type, len(other.seen)) == ("http_status", 1)
    assert not {"authorization", "cookie", "proxy-authorization"} & other.seen[0]["headers"].keys()
    assert any("authorization" in seen["headers"] for seen in site.seen if seen["path"] == "/")


def test_credentials_that_are_gone_do_not_come_back(send: Sender, site: Site, other: Site) -> None:
    site.answers["/"] = (302, {"Location": f"{other.url}/there"}, b"")
    other.answers["/there"] = (302, {"Location": f"{site.url}/back"}, b"")
    back = send(site.url, auth={"bearer": {"token": "t"}})["body"]
    assert back["path"] == "/back"
    assert "authorization" not in back["headers"]


def test_a_redirect_brings_no_credentials(send: Sender, site: Site) -> None:
    site.answers["/"] = (302, {"Location": site.url.replace("://", "://eve:x@") + "/there"}, b"")
    assert "authorization" not in send(site.url)["body"]["headers"]


def test_an_answer_that_quotes_the_credentials_is_told_without_them(send: Sender, site: Site) -> None:
    send.connections["crm"] = {
        "url": site.url,
        "headers": {"X-Key": "s3cr3t"},
        "auth": {"bearer": {"token": "t0ken"}},
    }
    site.answers["/"] = (401, {}, b"Bearer t0ken, with t0ken and s3cr3t, is no good")
    message = send.error(connection="crm").message
    assert message.endswith("status 401: ***, with *** and ***, is no good")


# A Connection


def test_a_connection_gives_address_headers_and_auth(send: Sender, site: Site) -> None:
    send.connections["crm"] = {
        "url": f"{site.url}/v2/?key=k",
        "headers": {"X-Key": "secret", "Accept": "application/json"},
        "auth": {"bearer": {"token": "t"}},
    }
    seen = send("customers/7?full=1", connection="crm", query={"a": 1}, headers={"X-Own": "1"})["body"]
    assert (seen["path"], seen["query"]) == ("/v2/customers/7", "key=k&full=1&a=1")
    assert seen["headers"]["x-key"] == "secret"
    assert seen["headers"]["x-own"] == "1"
    assert seen["headers"]["accept"] == "application/json"
    assert seen["headers"]["authorization"] == "Bearer t"


@pytest.mark.parametrize(
    ("base", "url", "path"),
    [
        ("", None, "/"),
        ("/", "", "/"),
        ("/v2", None, "/v2"),
        ("/v2/", None, "/v2/"),
        ("/v2", "a", "/v2/a"),
        ("/v2/", "/a/", "/v2/a/"),
        ("", "/a", "/a"),
        ("/v2", "//evil.example/a", "/v2/evil.example/a"),
        ("/v2", "a%2Fb/ä", "/v2/a%2Fb/%C3%A4"),
        ("/v%2F2", "a", "/v%2F2/a"),
        ("/v2", "a?b=1#c", "/v2/a"),
        ("/v2", "?a=http://x/", "/v2"),
        ("/v2", "a:b@evil.example", "/v2/a:b@evil.example"),
        ("/v2", "\\\\evil.example", "/v2/\\\\evil.example"),
    ],
)
def test_an_address_is_below_that_of_the_connection(
    send: Sender, site: Site, base: str, url: str | None, path: str
) -> None:
    send.connections["crm"] = {"url": site.url + base}
    assert send(url, connection="crm")["body"]["path"] == path


def test_a_whole_address_has_to_be_of_the_connections_origin(send: Sender, site: Site, other: Site) -> None:
    send.connections["crm"] = {"url": f"{site.url}/v2", "headers": {"X-Key": "secret"}}
    assert send(f"{site.url}/v1/a", connection="crm")["body"]["path"] == "/v1/a"
    for url in (f"{other.url}/a", "http://evil.example/", site.url.replace("http:", "https:"), "gopher://x/"):
        error = send.error(url, connection="crm")
        assert (error.type, error.retryable) == ("bad_request", False)
        assert "secret" not in error.message
    assert other.seen == []


def test_what_the_node_says_goes_before_the_connection(send: Sender, site: Site) -> None:
    send.connections["crm"] = {
        "url": site.url,
        "headers": {"X-Key": "theirs"},
        "auth": {"basic": {"username": "ada", "password": "s"}},
    }
    own = send(connection="crm", headers={"x-key": "mine"}, auth={"bearer": {"token": "t"}})["body"][
        "headers"
    ]
    assert (own["x-key"], own["authorization"]) == ("mine", "Bearer t")
    assert send(connection="crm", headers={"Authorization": "a"})["body"]["headers"]["authorization"] == "a"


def test_the_headers_of_a_connection_go_to_no_other_origin(send: Sender, site: Site, other: Site) -> None:
    site.answers["/"] = (307, {"Location": f"{other.url}/there"}, b"")
    send.connections["crm"] = {"url": site.url, "headers": {"X-Key": "secret"}}
    headers = send(connection="crm", headers={"X-Own": "1"})["body"]["headers"]
    assert "x-key" not in headers
    assert headers["x-own"] == "1"


def test_an_unknown_connection_is_told_by_who_knows(send: Sender) -> None:
    assert send.error(connection="crm").type == "no_connection"
