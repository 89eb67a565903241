"""What `verify` may say, and what becomes of it."""

from __future__ import annotations

import pytest

from schemas.documents import parse_file
from schemas.pattern import JSON
from schemas.problems import Problem
from schemas.verification import (
    ASYMMETRIC,
    BasicOptions,
    BearerOptions,
    Encoding,
    HmacOptions,
    JwtOptions,
    Mode,
    Provider,
    Verify,
    verify_from,
)
from schemas.verification_rules import verify_mistakes


def problems(verify: str) -> list[Problem]:
    text = (
        "apiVersion: weft/v1\nkind: Pattern\nmetadata: {name: a}\nspec:\n  on:\n    webhook:\n"
        f"      verify: {verify}\n  nodes: [{{id: a, uses: log, with: {{message: x}}}}]\n"
    )
    return list(parse_file("patterns/a.yaml", text.encode()).problems)


@pytest.mark.parametrize(
    "verify",
    [
        "{provider: github, secret: ORDERS_HOOK_SECRET}",
        "{provider: github, secret: [NEW, OLD], mode: observe, methods: [POST]}",
        "{provider: gitlab, secret: A, tolerance: 1m}",
        "{provider: stripe, secret: A, tolerance: 1h, mode: enforce}",
        "{provider: slack, secret: whsecret}",
        "{provider: shopify, secret: deadbeef}",
        "{provider: twilio, secret: A}",
        "{provider: standard-webhooks, secret: A}",
        "{provider: hmac, secret: A, header: X-Sig, algorithm: sha1, encoding: base64url, prefix: 'sha1='}",
        "{provider: hmac, secret: A, header: X-Sig, timestampHeader: X-Time, tolerance: 10s}",
        "{provider: hmac, secret: A, header: X-Sig, timestampHeader: X-Time, payload: '{timestamp}{body}'}",
        "{provider: hmac, secret: A, header: X-Sig, payload: 'v0:{body}'}",
        "{provider: hmac, secret: A, header: Authorization, prefix: 'HMAC '}",
        "{provider: bearer, secret: A}",
        "{provider: bearer, secret: A, header: X-Api-Key}",
        "{provider: basic, secret: A, user: forge}",
        "{provider: jwt, issuer: 'https://a.example/realms/b', audience: weft}",
        "{provider: jwt, issuer: 'https://a', audience: [a, b], algorithms: [ES256], header: X-Token}",
        "{provider: jwt, issuer: 'https://a', jwksUrl: 'https://b/k?x=1', claims: {sub: [a, b], admin: true}}",
        "{provider: jwt, issuer: 'http://keycloak.lan:8080/realms/a', audience: weft}",
        "{provider: jwt, secret: A}",
        "{provider: jwt, secret: A, issuer: me, algorithms: [HS512], tolerance: 1s}",
    ],
)
def test_a_good_rule_has_no_problems(verify: str) -> None:
    assert problems(verify) == []


HMAC = "provider: hmac, secret: A, header: X-Sig"
JWT = "provider: jwt, issuer: 'https://a', audience: weft"


@pytest.mark.parametrize(
    ("verify", "code", "said"),
    [
        ("github", "wrong-type", "mapping"),
        ("{secret: A}", "missing-key", "provider"),
        ("{provider: githb, secret: A}", "invalid-value", 'Did you mean "github"?'),
        ("{provider: github, secret: A, mode: watch}", "invalid-value", "observe"),
        ("{provider: github, secret: A, methods: [FETCH]}", "invalid-value", "FETCH"),
        ("{provider: github, secret: A, methods: []}", "invalid-value", "empty"),
        ("{provider: github, secret: A, methods: [POST, PUT]}", "invalid-value", "taken unverified"),
        ("{provider: github, secret: A, secrets: B}", "unknown-key", 'Did you mean "secret"?'),
        ("{provider: github, secret: A, header: X-Sig}", "unknown-key", 'github has no "header"'),
        ("{provider: shopify, secret: A, tolerance: 5m}", "unknown-key", 'shopify has no "tolerance"'),
        ("{provider: bearer, secret: A, issuer: 'https://a'}", "unknown-key", 'no "issuer"'),
        ("{provider: stripe}", "missing-key", 'needs "secret"'),
        ("{provider: hmac, secret: A}", "missing-key", 'needs "header"'),
        ("{provider: basic, secret: A}", "missing-key", 'needs "user"'),
        ("{provider: basic, secret: A, user: 'a:b'}", "invalid-value", "colon"),
        ("{provider: github, secret: []}", "invalid-value", "empty"),
        ("{provider: github, secret: [A, B, C]}", "invalid-value", "more than 2"),
        ("{provider: github, secret: [A, A]}", "invalid-value", "twice"),
        ("{provider: github, secret: 17}", "wrong-type", "name of a secret"),
        ("{provider: github, secret: '${{ secrets.A }}'}", "template-not-allowed", "name alone"),
        ("{provider: stripe, secret: A, tolerance: 2h}", "invalid-value", "at most 1h"),
        ("{provider: stripe, secret: A, tolerance: 0s}", "invalid-value", "duration"),
        ("{provider: hmac, secret: A, header: 'X Sig'}", "invalid-value", "name of a header"),
        ("{provider: hmac, secret: A, header: Content-Length}", "invalid-value", "HTTP has a use for"),
        (f"{{{HMAC}, algorithm: md5}}", "invalid-value", "sha256"),
        (f"{{{HMAC}, encoding: base32}}", "invalid-value", "base64"),
        (f"{{{HMAC}, tolerance: 1m}}", "conflicting-keys", "timestampHeader"),
        (f"{{{HMAC}, timestampHeader: x-sig}}", "invalid-value", "header of the signature"),
        (f"{{{HMAC}, timestampHeader: Host}}", "invalid-value", "HTTP has a use for"),
        (f"{{{HMAC}, payload: 'body'}}", "invalid-value", "{body} once"),
        (f"{{{HMAC}, payload: '{{body}}{{body}}'}}", "invalid-value", "{body} once"),
        (f"{{{HMAC}, payload: '{{timestamp}}.{{body}}'}}", "invalid-value", "nothing says where"),
        (f"{{{HMAC}, payload: '{{url}}{{body}}'}}", "invalid-value", "cannot hold {url}"),
        (f"{{{HMAC}, timestampHeader: X-Time, payload: '{{body}}'}}", "invalid-value", "not signed"),
        ("{provider: jwt}", "missing-key", '"issuer" or "secret"'),
        ("{provider: jwt, audience: weft}", "missing-key", '"issuer" or "secret"'),
        ("{provider: jwt, issuer: 'https://a'}", "missing-key", "every token of the issuer"),
        ("{provider: jwt, issuer: login, audience: a}", "invalid-value", "not the address"),
        ("{provider: jwt, issuer: 'https://a?b', audience: a}", "invalid-value", "not the address"),
        ("{provider: jwt, issuer: 'https://u:p@a', audience: a}", "invalid-value", "not the address"),
        (f"{{{JWT}, jwksUrl: 'ftp://a'}}", "invalid-value", "not the address"),
        (f"{{{JWT}, jwksUrl: 'https://a:x'}}", "invalid-value", "not the address"),
        (f"{{{JWT}, algorithms: [HS256]}}", "invalid-value", "public keys"),
        (f"{{{JWT}, algorithms: [none]}}", "invalid-value", "none"),
        (f"{{{JWT}, claims: {{}}}}", "invalid-value", "empty"),
        (f"{{{JWT}, claims: {{a: 1.5}}}}", "wrong-type", "whole number"),
        (f"{{{JWT}, claims: {{a: [null]}}}}", "wrong-type", "whole number"),
        ("{provider: jwt, secret: A, algorithms: [RS256]}", "invalid-value", "a secret"),
        ("{provider: jwt, secret: A, jwksUrl: 'https://a'}", "conflicting-keys", "not with both"),
    ],
)
def test_a_bad_rule_says_what_is_wrong(verify: str, code: str, said: str) -> None:
    (problem,) = problems(verify)
    assert (problem.code, problem.line) == (code, 7)
    assert said in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "It's a Secret to Everybody",
        "8f742231b10e8888abcd99yyyzzz85a5",
        "deadbeefdeadbeefdeadbeefdeadbeef",
        "ghp_abcdefghij",
        "glpat_abc",
        "sk_live_abc",
        "shpss_0123456789",
        "eyJhbGciOiJIUzI1NiJ9",
        "ORDERS-HOOK-SECRET",
    ],
)
def test_a_secret_that_is_written_out_is_told_and_not_quoted(secret: str) -> None:
    for written in (f'"{secret}"', f'[A, "{secret}"]'):
        (problem,) = problems(f"{{provider: github, secret: {written}}}")
        assert problem.code == "literal-secret"
        assert secret not in f"{problem.message} {problem.hint}"


@pytest.mark.parametrize(
    "written",
    [
        None,
        7,
        [],
        "github",
        {},
        {"provider": []},
        {"provider": "jwt", "issuer": 7, "algorithms": "HS256"},
        {"provider": "hmac", "header": 7, "timestampHeader": [], "payload": {}, "tolerance": 5, "secret": {}},
        {"provider": "jwt", "secret": [[], None, 7], "algorithms": [[], {}], "claims": 7, "tolerance": "5x"},
    ],
    ids=range(9),
)
def test_whatever_shape_it_has_the_checks_hold(written: JSON) -> None:
    list(verify_mistakes(written, ("verify",)))


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        (
            {"provider": "github", "secret": "A"},
            Verify(
                provider=Provider.GITHUB, secrets=("A",), mode=Mode.ENFORCE, methods=None, tolerance=300.0
            ),
        ),
        (
            {
                "provider": "stripe",
                "secret": ["A", "B"],
                "mode": "observe",
                "methods": ["PUT"],
                "tolerance": "1m",
            },
            Verify(
                provider=Provider.STRIPE,
                secrets=("A", "B"),
                mode=Mode.OBSERVE,
                methods=("PUT",),
                tolerance=60.0,
            ),
        ),
        (
            {"provider": "hmac", "secret": "A", "header": "X-Sig", "prefix": "v1="},
            Verify(
                provider=Provider.HMAC,
                secrets=("A",),
                options=HmacOptions(header="x-sig", prefix="v1=", payload="{body}"),
            ),
        ),
        (
            {
                "provider": "hmac",
                "secret": "A",
                "header": "X-Sig",
                "timestampHeader": "X-T",
                "encoding": "base64",
            },
            Verify(
                provider=Provider.HMAC,
                secrets=("A",),
                options=HmacOptions(
                    header="x-sig",
                    encoding=Encoding.BASE64,
                    timestamp_header="x-t",
                    payload="{timestamp}.{body}",
                ),
            ),
        ),
        (
            {"provider": "bearer", "secret": "A", "header": "X-Key"},
            Verify(provider=Provider.BEARER, secrets=("A",), options=BearerOptions(header="x-key")),
        ),
        (
            {"provider": "basic", "secret": "A", "user": "Ada"},
            Verify(provider=Provider.BASIC, secrets=("A",), options=BasicOptions(user="Ada")),
        ),
        (
            {"provider": "jwt", "issuer": "https://a", "audience": "w", "claims": {"s": "x", "r": [1, True]}},
            Verify(
                provider=Provider.JWT,
                tolerance=60.0,
                options=JwtOptions(
                    issuer="https://a",
                    audience=("w",),
                    algorithms=ASYMMETRIC,
                    claims=(("s", ("x",)), ("r", (1, True))),
                ),
            ),
        ),
        (
            {"provider": "jwt", "secret": "A"},
            Verify(
                provider=Provider.JWT,
                secrets=("A",),
                tolerance=60.0,
                options=JwtOptions(algorithms=("HS256",)),
            ),
        ),
    ],
    ids=lambda value: value["provider"] if isinstance(value, dict) else "",
)
def test_what_is_written_becomes_a_rule(written: JSON, rule: Verify) -> None:
    assert verify_from(written) == rule
    assert hash(verify_from(written)) == hash(rule)
