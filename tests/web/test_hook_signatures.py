"""Signed calls over HTTP, with a proxy in front and without: the right one starts a run, every other one is 401."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import jwt
import pytest
from eventually import eventually
from hook_calls import Answer, received
from http_proxy import proxy_before
from http_site import Site, json_answer
from installation import Installation, installation, live
from signed_calls import ISSUERS_KEY, public_jwk

PUBLIC = "https://weft.example"
SECRET = "a-secret-of-this-test-0123456789abcdef"
BODY = b'{"order_id": 17, "note": "caf\xc3\xa9"}'
FORM = b"CallSid=CA1234567890ABCDE&From=%2B14158675309&Digits=1234"
SEEN = "- {id: seen, uses: set, with: {verified: '${{ trigger.verified }}'}}"

Headers = Mapping[str, str]


def digest(signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(SECRET.encode(), signed, algorithm).digest()


def now() -> str:
    return str(int(time.time()))


def github(_path: str, body: bytes) -> Headers:
    return {"X-Hub-Signature-256": f"sha256={digest(body).hex()}"}


def gitlab(_path: str, _body: bytes) -> Headers:
    return {"X-Gitlab-Token": SECRET}


def stripe(_path: str, body: bytes) -> Headers:
    at = now()
    return {"Stripe-Signature": f"t={at},v1={digest(at.encode() + b'.' + body).hex()}"}


def slack(_path: str, body: bytes) -> Headers:
    at = now()
    signature = digest(b"v0:" + at.encode() + b":" + body).hex()
    return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={signature}"}


def shopify(_path: str, body: bytes) -> Headers:
    return {"X-Shopify-Hmac-SHA256": base64.b64encode(digest(body)).decode()}


def twilio(path: str, body: bytes) -> Headers:
    fields = "".join(name + value for name, value in sorted(parse_qsl(body.decode())))
    signature = base64.b64encode(digest((PUBLIC + path + fields).encode(), "sha1")).decode()
    return {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"}


def standard(_path: str, body: bytes) -> Headers:
    at = now()
    signature = base64.b64encode(digest(f"msg_1.{at}.".encode() + body)).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}


def generic(_path: str, body: bytes) -> Headers:
    at = now()
    return {"X-Time": at, "X-Sig": "v=" + digest(at.encode() + b"." + body, "sha512").hex()}


def bearer(_path: str, _body: bytes) -> Headers:
    return {"Authorization": f"Bearer {SECRET}"}


def basic(_path: str, _body: bytes) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode()}


def token(_path: str, _body: bytes) -> Headers:
    made = jwt.encode({"aud": "weft", "exp": int(time.time()) + 60}, SECRET, "HS256")
    return {"Authorization": f"Bearer {made}"}


class Provider(NamedTuple):
    rule: Mapping[str, Any]
    sign: Callable[[str, bytes], Headers]
    body: bytes = BODY
    signs_body: bool = True


# What is signed with a secret of Standard Webhooks is its Base64, decoded.
WHSEC = "whsec_" + base64.b64encode(SECRET.encode()).decode()
PROVIDERS = {
    "github": Provider({}, github),
    "gitlab": Provider({}, gitlab, signs_body=False),
    "stripe": Provider({}, stripe),
    "slack": Provider({}, slack),
    "shopify": Provider({}, shopify),
    "twilio": Provider({}, twilio, FORM),
    "standard-webhooks": Provider({"secret": "WHSEC"}, standard),
    "hmac": Provider(
        {"header": "X-Sig", "algorithm": "sha512", "prefix": "v=", "timestampHeader": "X-Time"}, generic
    ),
    "bearer": Provider({}, bearer, signs_body=False),
    "basic": Provider({"user": "ada"}, basic, signs_body=False),
    "jwt": Provider({"audience": "weft"}, token, signs_body=False),
}


@pytest.fixture(scope="module")
def weft() -> Iterator[Installation]:
    settings = {"WEFT_PUBLIC_URL": PUBLIC, "WEFT_TRUSTED_PROXIES": "127.0.0.1"}
    with installation("--workers", "1", **settings) as weft:
        for name, value in {"HOOK": SECRET, "WHSEC": WHSEC}.items():
            assert weft.request("PUT", f"/api/v1/secrets/{name}", {"value": value})[0] in (200, 201)
        files = {}
        for name, provider in PROVIDERS.items():
            verify = {"provider": name, "secret": "HOOK", **provider.rule}
            files |= live(name, SEEN, on={"webhook": {"verify": verify, "methods": ["GET", "POST"]}})
        rotating = {"provider": "github", "secret": ["NEW_HOOK", "HOOK"]}
        files |= live("rotating", SEEN, on={"webhook": {"verify": rotating}})
        watching = {"provider": "github", "secret": "HOOK", "mode": "observe"}
        files |= live("watching", SEEN, on={"webhook": {"verify": watching}})
        files |= live("unset", SEEN, on={"webhook": {"verify": {"provider": "github", "secret": "NOT_SET"}}})
        posts = {"provider": "github", "secret": "HOOK", "methods": ["POST"]}
        files |= live("posts", SEEN, on={"webhook": {"verify": posts, "methods": ["GET", "POST"]}})
        weft.push(files)
        yield weft


@pytest.fixture(scope="module")
def proxy(weft: Installation) -> Iterator[str]:
    with proxy_before(weft.address, "weft.example") as address:
        yield address


def send(address: str, path: str, body: bytes, headers: Headers, method: str = "POST") -> Answer:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        return received(connection)
    finally:
        connection.close()


def reason(answer: Answer) -> str:
    return str(answer.json["type"]).rpartition(":")[2]


@pytest.mark.parametrize("through", ["the proxy", "nothing"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_signed_call_starts_a_run_and_a_changed_one_does_not(
    weft: Installation, proxy: str, name: str, through: str
) -> None:
    provider = PROVIDERS[name]
    address = proxy if through == "the proxy" else weft.address
    path = weft.hook(name) + "/orders?a=1&b=x%20y"
    headers = provider.sign(path, provider.body)
    answer = send(address, path, provider.body, headers)
    assert answer.status == 202, answer.text
    [[trigger]] = weft.rows("SELECT trigger FROM runs WHERE id = %s", [answer.run])
    assert (trigger["verified"], trigger["address"]) == (
        True,
        "203.0.113.9" if through == "the proxy" else "127.0.0.1",
    )
    assert SECRET not in json.dumps(trigger)
    unsigned = send(
        address, path, provider.body, {"Content-Type": headers.get("Content-Type", "application/json")}
    )
    assert (unsigned.status, reason(unsigned)) == (401, "not-signed")
    if provider.signs_body:
        changed = send(address, path, provider.body.replace(b"1", b"2", 1), headers)
        assert (changed.status, reason(changed)) == (401, "not-signed")
    for header, value in headers.items():
        if header != "Content-Type":
            wrong = send(
                address, path, provider.body, headers | {header: value[:-1] + chr(ord(value[-1]) ^ 1)}
            )
            assert wrong.status == 401, (header, wrong.text)


def test_what_carries_the_secret_is_kept_nowhere(weft: Installation) -> None:
    path = weft.hook("gitlab")
    send(weft.address, path, BODY, {"X-Gitlab-Token": SECRET + "x", "X-Kept": "yes"})
    send(weft.address, path, BODY, {"X-Gitlab-Token": SECRET})
    eventually(lambda: bool(weft.rows("SELECT 1 FROM deliveries WHERE request::text LIKE '%%x-kept%%'", [])))
    for table in ("runs", "deliveries", "spans"):
        assert not weft.rows(f"SELECT 1 FROM {table} t WHERE t::text LIKE %s", [f"%{SECRET}%"])
    assert SECRET not in (weft.folder / "log").read_text()


def test_two_secrets_are_good_while_one_replaces_the_other(weft: Installation) -> None:
    path = weft.hook("rotating")
    new = b"another-secret-of-this-test"
    signed = {"X-Hub-Signature-256": "sha256=" + hmac.new(new, BODY, hashlib.sha256).hexdigest()}
    assert send(weft.address, path, BODY, github(path, BODY)).status == 202
    assert send(weft.address, path, BODY, signed).status == 401
    weft.request("PUT", "/api/v1/secrets/NEW_HOOK", {"value": new.decode()})
    eventually(lambda: send(weft.address, path, BODY, signed).status == 202, seconds=5)
    assert send(weft.address, path, BODY, github(path, BODY)).status == 202


def test_observing_lets_everything_in_and_says_what_would_have_been(weft: Installation) -> None:
    path = weft.hook("watching")
    good = send(weft.address, path, BODY, github(path, BODY)).run
    bad = send(weft.address, path, BODY, {"X-Hub-Signature-256": "sha256=" + "0" * 64}).run
    triggers = dict(weft.rows("SELECT id::text, trigger FROM runs WHERE id = ANY(%s)", [[good, bad]]))
    assert (triggers[good]["verified"], "unverified" in triggers[good]) == (True, False)
    assert (triggers[bad]["verified"], triggers[bad]["unverified"]["reason"]) == (False, "wrong")
    listed = {one["id"]: one for one in weft.get("/api/v1/deployments/watching/deliveries")["items"]}
    assert (listed[good]["verified"], listed[bad]["verified"]) == (True, False)


def test_without_a_secret_nobody_is_let_in(weft: Installation) -> None:
    path = weft.hook("unset")
    empty = {"X-Hub-Signature-256": "sha256=" + hmac.new(b"", BODY, hashlib.sha256).hexdigest()}
    answer = send(weft.address, path, BODY, empty)
    assert (answer.status, reason(answer)) == (401, "not-signed")
    assert "No secret is set" in answer.json["detail"]


def test_methods_that_are_not_verified_pass(weft: Installation) -> None:
    path = weft.hook("posts")
    assert send(weft.address, path, b"", {}, "GET").status == 202
    assert send(weft.address, path, BODY, {}).status == 401


def test_slacks_challenge_is_answered_once_it_is_signed(weft: Installation) -> None:
    path = weft.hook("slack")
    body = json.dumps({"type": "url_verification", "challenge": "3eZbrw1aB", "token": "x"}).encode()
    before = weft.rows("SELECT count(*) FROM runs")
    answer = send(weft.address, path, body, slack(path, body))
    assert (answer.status, answer.text) == (200, b"3eZbrw1aB")
    assert send(weft.address, path, body, {}).status == 401
    assert weft.rows("SELECT count(*) FROM runs") == before


def test_a_call_that_is_too_old_is_refused_though_it_is_signed(weft: Installation) -> None:
    path, at = weft.hook("stripe"), str(int(time.time()) - 600)
    old = {"Stripe-Signature": f"t={at},v1={digest(at.encode() + b'.' + BODY).hex()}"}
    answer = send(weft.address, path, BODY, old)
    assert (answer.status, "too-old" in answer.json["detail"]) == (401, True)


def test_a_token_of_an_issuer_is_checked_with_its_keys(weft: Installation) -> None:
    site = Site()
    try:
        issuer = site.url
        site.answers["/.well-known/openid-configuration"] = json_answer(
            {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
        )
        site.answers["/keys"] = json_answer({"keys": [public_jwk()]})
        verify = {"provider": "jwt", "issuer": issuer, "audience": "weft"}
        network = {"network": {"allow": [f"localhost:{site.port}"]}}
        project = {"apiVersion": "weft/v1", "kind": "Project", "metadata": {"name": "shop"}, "spec": network}
        weft.push(
            {"weft.yaml": json.dumps(project), **live("issued", SEEN, on={"webhook": {"verify": verify}})}
        )
        path = weft.hook("issued")
        claims = {"iss": issuer, "aud": "weft", "exp": int(time.time()) + 60}
        good = jwt.encode(claims, ISSUERS_KEY, "ES256", headers={"kid": public_jwk()["kid"]})
        other = jwt.encode(
            claims | {"aud": "else"}, ISSUERS_KEY, "ES256", headers={"kid": public_jwk()["kid"]}
        )
        assert send(weft.address, path, BODY, {"Authorization": f"Bearer {good}"}).status == 202
        assert send(weft.address, path, BODY, {"Authorization": f"Bearer {other}"}).status == 401
        assert send(weft.address, path, BODY, {"Authorization": f"Bearer {good[:-4]}AAAA"}).status == 401
    finally:
        site.close()
