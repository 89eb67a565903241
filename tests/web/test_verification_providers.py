"""What is particular to each provider: how it spells, what it signs, and what only looks signed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from answering_issuers import Answers
from signed_calls import (
    BASIC,
    BEARER,
    GITHUB,
    GITLAB,
    GITLAB_SIGNED,
    JSON_BODY,
    NOW,
    SLACK,
    STANDARD,
    STANDARD_ASYMMETRIC,
    STRIPE,
    TWILIO,
    TWILIO_JSON,
    Example,
    base64_hmac,
    hex_hmac,
)

from schemas.verification import verify_from
from web.verification.call import Reason, SignedCall, Unverified
from web.verification.issuers import Issuers
from web.verification.jwks import Keys
from web.verification.slack import url_verification
from web.verification.verifier import Verifier, secret_headers, verify

ROOT = Path(__file__).parents[2]


def refusal(example: Example) -> Reason | None:
    """Why the example is refused, None where it is verified."""
    try:
        verify(example.verify, example.secrets, example.call, example.now)
    except Unverified as unverified:
        return unverified.reason
    return None


def with_headers(example: Example, **headers: str) -> Example:
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(example, headers={**example.headers, **changed})


@pytest.mark.parametrize("example", [STRIPE, SLACK, STANDARD, STANDARD_ASYMMETRIC, GITLAB_SIGNED])
@pytest.mark.parametrize(
    ("seconds", "reason"),
    [(300, None), (-300, None), (300.5, Reason.TOO_OLD), (-300.5, Reason.TOO_NEW)],
)
def test_a_call_is_good_for_five_minutes(example: Example, seconds: float, reason: Reason | None) -> None:
    assert refusal(replace(example, now=example.now + seconds)) is reason


def test_the_tolerance_can_be_another_one() -> None:
    shorter = replace(STRIPE, rule={**STRIPE.rule, "tolerance": "10s"})
    assert refusal(replace(shorter, now=NOW + 10)) is None
    assert refusal(replace(shorter, now=NOW + 11)) is Reason.TOO_OLD


@pytest.mark.parametrize("name", ["sha1", "sha512", "SHA256"])
def test_githubs_signature_is_sha256_and_nothing_else(name: str) -> None:
    digest = hmac.new(GITHUB.secrets[0].encode(), GITHUB.body, name.lower()).hexdigest()
    assert refusal(with_headers(GITHUB, x_hub_signature_256=f"{name}={digest}")) is Reason.MALFORMED


def test_the_old_signature_of_github_is_not_looked_at() -> None:
    only_old = replace(
        GITHUB, headers={"x-hub-signature": f"sha1={hex_hmac(GITHUB.secrets[0], GITHUB.body, 'sha1')}"}
    )
    assert refusal(only_old) is Reason.MISSING


def stripe_header(*parts: str) -> Example:
    return with_headers(STRIPE, stripe_signature=",".join(parts))


def test_one_of_stripes_signatures_has_to_be_right_and_of_version_1() -> None:
    time, right = STRIPE.headers["stripe-signature"].split(",")
    wrong = f"v1={'0' * 64}"
    assert refusal(stripe_header(time, wrong, right)) is None
    assert refusal(stripe_header(time, right, wrong, "v0=abc", "v2=")) is None
    assert refusal(stripe_header(time, right.replace("v1", "v0"))) is Reason.MISSING
    assert refusal(stripe_header(time, wrong, right.replace("v1", "v0"))) is Reason.WRONG


def test_stripes_header_has_one_time() -> None:
    time, right = STRIPE.headers["stripe-signature"].split(",")
    for parts in ([right], [time, time, right], ["t=1", time, right], ["t", right], ["t=", right]):
        assert refusal(stripe_header(*parts)) is Reason.MALFORMED


def test_slack_is_answered_with_its_challenge() -> None:
    """https://docs.slack.dev/reference/events/url_verification"""
    body = (
        b'{"token": "Jhj5dZrVaK7ZwHHjRyZWjbDl",'
        b' "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", "type": "url_verification"}'
    )
    assert url_verification(body) == "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"url_verification",
        b'{"type": "event_callback", "event": {"text": "url_verification"}, "challenge": "x"}',
        b'{"type": "url_verification"}',
        b'{"type": "url_verification", "challenge": 7}',
        b'["url_verification"]',
        b'{"type": "url_verification", "challenge": "x", "more": "' + b"x" * 20_000 + b'"}',
    ],
    ids=range(7),
)
def test_other_bodies_have_no_challenge(body: bytes) -> None:
    assert url_verification(body) is None


TWILIO_URL = TWILIO.urls[0]


@pytest.mark.parametrize(
    ("url", "signature"),
    [
        (TWILIO_URL.replace(".com", ".com:1234"), "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (TWILIO_URL.replace(".com", ".com:1234").replace("https", "http"), "Zmvh+3yNM1Phv2jhDCwEM3q5ebU="),
        (TWILIO_URL, "kvajT1Ptam85bY51eRf/AJRuM3w="),
        (TWILIO_URL.replace("https", "http"), "0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ],
)
def test_twilio_may_sign_with_or_without_the_port(url: str, signature: str) -> None:
    """The examples of twilio-python, tests/unit/test_request_validator.py"""
    assert refusal(replace(with_headers(TWILIO, x_twilio_signature=signature), urls=(url,))) is None


def test_twilios_fields_are_sorted_and_count_once() -> None:
    """As above: the example with fields that come several times."""
    several = replace(
        with_headers(TWILIO, x_twilio_signature="IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        body=b"Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234",
    )
    assert refusal(several) is None


def test_twilio_is_verified_behind_a_proxy_and_without() -> None:
    seen = TWILIO_URL.replace("https://mycompany.com", "http://10.0.0.7:8080")
    for urls in [(TWILIO_URL, seen), (seen, TWILIO_URL)]:
        assert refusal(replace(TWILIO, urls=urls)) is None
    for urls in [(seen,), (), ("not an address",), ("http://[/",)]:
        assert refusal(replace(TWILIO, urls=urls)) is Reason.WRONG


def test_a_get_of_twilio_has_its_fields_in_the_address() -> None:
    url = "https://mycompany.com/myapp.php?CallSid=CA1&From=%2B1415"
    signed = replace(
        with_headers(TWILIO, x_twilio_signature=base64_hmac("12345", url.encode(), "sha1")),
        method="GET",
        urls=(url,),
        body=b"",
    )
    assert refusal(signed) is None
    assert refusal(replace(signed, urls=(url + "&a=b",))) is Reason.WRONG


def test_what_twilio_has_not_signed_is_no_body() -> None:
    """Its signature of the address alone, once overheard, must not open the door for any JSON."""
    for kind in ("application/json", "text/plain", "", "multipart/form-data; boundary=x"):
        overheard = with_headers(
            TWILIO, content_type=kind, x_twilio_signature=base64_hmac("12345", TWILIO_URL.encode(), "sha1")
        )
        assert refusal(replace(overheard, body=b'{"forged": true}')) is Reason.MISSING
        assert refusal(replace(overheard, body=b"")) is None


def test_a_body_that_is_signed_by_its_hash_is_that_one_body() -> None:
    assert refusal(replace(TWILIO_JSON, body=b"")) is Reason.WRONG
    assert refusal(with_headers(TWILIO_JSON, content_type="application/x-www-form-urlencoded")) is None
    form = with_headers(TWILIO_JSON, content_type="application/x-www-form-urlencoded")
    assert refusal(replace(form, body=b"")) is Reason.WRONG
    twice = replace(TWILIO_JSON, urls=(TWILIO_JSON.urls[0] + "&bodySHA256=" + "0" * 64,))
    assert refusal(twice) is Reason.REPEATED


def test_too_many_fields_of_a_form_are_refused() -> None:
    assert refusal(replace(TWILIO, body=b"&".join([b"a=b"] * 1001))) is Reason.MALFORMED
    assert refusal(replace(TWILIO, body=b"Digits1234=&To")) is Reason.MALFORMED


def test_an_id_with_a_dot_could_be_a_time_and_is_refused() -> None:
    signed = b"msg.1614265330.1614265330.{}"
    key = base64.b64decode(STANDARD.secrets[0].removeprefix("whsec_"))
    signature = "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    dotted = with_headers(STANDARD, webhook_id="msg.1614265330", webhook_signature=signature)
    assert refusal(replace(dotted, body=b"{}")) is Reason.MALFORMED


def test_one_of_several_standard_signatures_has_to_be_right() -> None:
    both = f"{STANDARD_ASYMMETRIC.headers['webhook-signature']} {STANDARD.headers['webhook-signature']}"
    for example in (STANDARD, STANDARD_ASYMMETRIC):
        assert refusal(with_headers(example, webhook_signature=both)) is None
        assert refusal(with_headers(example, webhook_signature=f"v1,AAAA v1a,AAAA v9 {both}")) is None
        assert refusal(with_headers(example, webhook_signature="v1,AAAA v1a,AAAA v1a,%%")) is Reason.WRONG


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64", "whpk_AAAA", "whpk_", "whsec_ä"])
def test_a_secret_that_is_none_of_standard_webhooks_verifies_nobody(secret: str) -> None:
    assert refusal(replace(STANDARD, secrets=(secret,))) is Reason.NO_SECRET


def test_gitlabs_secret_token_can_give_way_to_a_signing_token() -> None:
    both = (STANDARD.secrets[0], GITLAB.secrets[0])
    for secrets in (both, both[::-1]):
        assert refusal(replace(GITLAB, secrets=secrets)) is None
        assert refusal(replace(GITLAB_SIGNED, secrets=secrets)) is None
    assert refusal(replace(GITLAB, secrets=both[:1])) is Reason.MISSING
    sent = with_headers(GITLAB, x_gitlab_token=STANDARD.secrets[0])
    assert refusal(replace(sent, secrets=both)) is Reason.WRONG, "a signing token is never sent"


def hmac_example(signature: str, headers: dict[str, str] | None = None, **rule: Any) -> Example:
    return Example(
        rule={"provider": "hmac", "secret": "HOOK", "header": "X-Sig", **rule},
        secrets=("key",),
        headers={"X-Sig".lower(): signature, **(headers or {})},
        signs=("x-sig",),
    )


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64", "base64url"])
def test_hmac_takes_every_algorithm_in_every_encoding(algorithm: str, encoding: str) -> None:
    digest = hmac.digest(b"key", JSON_BODY, algorithm)
    written = {
        "hex": digest.hex(),
        "base64": base64.b64encode(digest).decode(),
        "base64url": base64.urlsafe_b64encode(digest).decode(),
    }
    for name, signature in written.items():
        example = hmac_example(signature, algorithm=algorithm, encoding=encoding)
        right = name == encoding or signature == written[encoding]
        assert (refusal(example) is None) == right


def test_hmac_takes_hex_in_capitals_and_base64url_without_padding() -> None:
    digest = hmac.digest(b"key", JSON_BODY, "sha256")
    assert refusal(hmac_example(digest.hex().upper())) is None
    bare = base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert refusal(hmac_example(bare, encoding="base64url")) is None
    assert refusal(hmac_example(base64.b64encode(digest).decode().rstrip("="), encoding="base64")) is not None


def test_a_prefix_has_to_be_there() -> None:
    signature = hex_hmac("key", JSON_BODY)
    assert refusal(hmac_example(f"v1={signature}", prefix="v1=")) is None
    assert refusal(hmac_example(signature, prefix="v1=")) is Reason.MALFORMED
    assert refusal(hmac_example(f"v1={signature}")) is Reason.WRONG


TIMES = [
    ("1700000000", None),
    ("1700000000123", None),
    ("2023-11-14T22:13:20Z", None),
    ("2023-11-14T22:13:20.500Z", None),
    ("2023-11-14T22:13:20", Reason.MALFORMED),
    ("2023-11-14T23:13:20+01:00", Reason.MALFORMED),
    ("2023-13-14T22:13:20Z", Reason.MALFORMED),
    ("1699999000", Reason.TOO_OLD),
    ("1700001000", Reason.TOO_NEW),
    ("0", Reason.TOO_OLD),
    ("99999999999", Reason.TOO_NEW),
    ("-1", Reason.MALFORMED),
    ("1700000000.0", Reason.MALFORMED),
    ("\xb9700000000", Reason.MALFORMED),
    (" 1700000000", Reason.MALFORMED),
    ("", Reason.MALFORMED),
    ("1" * 400, Reason.MALFORMED),
]


@pytest.mark.parametrize(("time", "reason"), TIMES)
@pytest.mark.parametrize(
    "payload", [None, "{timestamp}.{body}", "{body}|{timestamp}", "v0:{timestamp}:{body}:"]
)
def test_a_time_can_be_signed_in_several_spellings(
    time: str, reason: Reason | None, payload: str | None
) -> None:
    signed = (payload or "{timestamp}.{body}").encode().replace(b"{timestamp}", time.encode())
    signature = hex_hmac("key", signed.replace(b"{body}", JSON_BODY))
    rule = {"payload": payload} if payload else {}
    assert refusal(hmac_example(signature, {"x-time": time}, timestampHeader="X-Time", **rule)) is reason


def test_no_digit_can_go_from_the_time_to_the_body() -> None:
    """The two of them without anything between, as Zendesk signs: seconds and 123 are not taken for milliseconds.

    https://developer.zendesk.com/documentation/webhooks/verifying/
    """
    rule = {"timestampHeader": "X-Time", "payload": "{timestamp}{body}", "encoding": "base64"}
    iso = "2023-11-14T22:13:20Z"
    zendesk = hmac_example(base64_hmac("key", iso.encode() + JSON_BODY), {"x-time": iso}, **rule)
    assert refusal(zendesk) is None
    signature = base64_hmac("key", b"1700000000" + b"123")
    told = hmac_example(signature, {"x-time": "1700000000"}, **rule)
    assert refusal(replace(told, body=b"123")) is None
    assert refusal(replace(with_headers(told, x_time="1700000000123"), body=b"")) is Reason.MALFORMED


def test_what_else_stands_in_the_payload_is_signed_as_it_is() -> None:
    signature = hex_hmac("key", b"weft/" + JSON_BODY + b"{x}")
    assert refusal(hmac_example(signature, payload="weft/{body}{x}")) is None


def test_the_scheme_of_authorization_has_any_capitals() -> None:
    assert refusal(with_headers(BEARER, authorization="bearer mF_9.B5f-4.1JqM")) is None
    assert refusal(with_headers(BASIC, authorization="BASIC QWxhZGRpbjpvcGVuIHNlc2FtZQ==")) is None
    assert refusal(with_headers(BEARER, authorization="mF_9.B5f-4.1JqM")) is Reason.MALFORMED
    assert (
        refusal(with_headers(BASIC, authorization="Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==")) is Reason.MALFORMED
    )
    assert refusal(with_headers(BEARER, authorization="Bearer  mF_9.B5f-4.1JqM")) is Reason.WRONG


def test_a_secret_of_bytes_that_are_no_text_is_compared_as_bytes() -> None:
    key = b"\xff\xfekey"
    secret = key.decode("utf-8", "surrogateescape")
    headers = {"x-hub-signature-256": f"sha256={hmac.new(key, JSON_BODY, hashlib.sha256).hexdigest()}"}
    assert refusal(replace(GITHUB, secrets=(secret,), headers=headers, body=JSON_BODY)) is None


@pytest.mark.parametrize(
    ("rule", "headers"),
    [
        ({"provider": "github"}, []),
        ({"provider": "gitlab"}, ["x-gitlab-token"]),
        ({"provider": "hmac", "header": "X-Sig"}, []),
        ({"provider": "bearer"}, ["authorization"]),
        ({"provider": "bearer", "header": "X-Api-Key"}, ["x-api-key"]),
        ({"provider": "basic", "user": "a"}, ["authorization"]),
        ({"provider": "jwt", "issuer": "https://a"}, ["authorization"]),
        ({"provider": "jwt", "issuer": "https://a", "header": "Cf-Access-Jwt"}, ["cf-access-jwt"]),
    ],
)
def test_headers_that_open_the_door_are_named(rule: dict[str, Any], headers: Sequence[str]) -> None:
    assert secret_headers(verify_from(rule)) == {header.encode() for header in headers}


def test_a_verifier_says_what_it_needs() -> None:
    assert Verifier(TWILIO.verify, ("a",)).signs_url
    assert not Verifier(GITHUB.verify, ("a",)).signs_url
    assert Verifier(verify_from({"provider": "jwt", "issuer": "https://a"}), ()).asks_issuer
    assert not Verifier(
        verify_from({"provider": "jwt", "issuer": "https://a", "secret": "A"}), ("a",)
    ).asks_issuer


def test_a_large_body_is_verified_as_it_is() -> None:
    body = b"\0" * 5_000_000
    headers = [(b"x-hub-signature-256", f"sha256={hex_hmac('key', body)}".encode())]
    verify(GITHUB.verify, ("key",), SignedCall("POST", (), headers, body), 0.0)
    with pytest.raises(Unverified):
        verify(GITHUB.verify, ("key",), SignedCall("POST", (), headers, body[:-1]), 0.0)


def test_a_rule_without_an_issuer_is_judged_where_issuers_are_asked_too() -> None:
    async def judge(secret: str) -> None:
        keys = Keys(Issuers(Answers({})))
        try:
            await Verifier(GITHUB.verify, (secret,)).check_by_issuer(GITHUB.call, NOW, keys)
        finally:
            keys.close()

    asyncio.run(judge(GITHUB.secrets[0]))
    with pytest.raises(Unverified):
        asyncio.run(judge("another"))


def test_what_few_rules_need_is_not_read_at_every_start() -> None:
    """PyJWT, httpx and what they need take a quarter of a second and 17 MB."""
    code = (
        "import sys, web.verification.verifier, web.verification.jwks; web.verification.jwks.Keys();"
        "print(sorted({'jwt', 'httpx', 'httpcore', 'cryptography'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
