"""Tokens that are good, and the many ways in which one is not."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from typing import Any

import jwt
import pytest
from answering_issuers import answering
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from signed_calls import CLAIMS, ISSUERS_KEY, JWT_SECRET, NOW, public_jwk, token

from schemas.verification import verify_from
from web.verification.call import Reason, SignedCall, Unverified
from web.verification.issuers import Issuers
from web.verification.jwks import Keys
from web.verification.verifier import Verifier

ISSUER = "https://login.example"
RSA_KEY = rsa.generate_private_key(65537, 2048)
SMALL_KEY = rsa.generate_private_key(65537, 1024)
EDWARDS_KEY = ed25519.Ed25519PrivateKey.generate()
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
P384_KEY = ec.generate_private_key(ec.SECP384R1())


def rsa_jwk(key: rsa.RSAPrivateKey, **more: Any) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256)
    return {**algorithm.to_jwk(key.public_key(), as_dict=True), "kid": "k1", **more}


def edwards_jwk(**more: Any) -> dict[str, Any]:
    return {
        **jwt.algorithms.OKPAlgorithm().to_jwk(EDWARDS_KEY.public_key(), as_dict=True),
        "kid": "k1",
        **more,
    }


def refusal(text: str, *, keys: list[Any] | None = None, **rule: Any) -> Reason | None:
    """Why the token is refused by a rule of ISSUER and the audience `weft`, None where it is verified."""
    header = (b"authorization", b"Bearer " + text.encode())
    return asyncio.run(_refusal(header, [public_jwk()] if keys is None else keys, rule))


async def _refusal(header: tuple[bytes, bytes], listed: list[Any], rule: Mapping[str, Any]) -> Reason | None:
    written = {"provider": "jwt", "issuer": ISSUER, "audience": "weft", **rule}
    keys = Keys(Issuers(answering(ISSUER, {"keys": listed})))
    try:
        call = SignedCall("POST", (), [header], b"")
        await Verifier(verify_from(written), ()).check_by_issuer(call, NOW, keys)
    except Unverified as unverified:
        return unverified.reason
    finally:
        keys.close()
    return None


def claims(**changed: Any) -> dict[str, Any]:
    return {name: value for name, value in {**CLAIMS, **changed}.items() if value is not None}


def test_a_good_token_is_verified() -> None:
    assert refusal(token()) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": NOW - 59}, None),
        ({"exp": NOW - 61}, Reason.TOO_OLD),
        ({"exp": None}, Reason.CLAIMS),
        ({"exp": "2099-01-01"}, Reason.MALFORMED),
        ({"exp": True}, Reason.MALFORMED),
        ({"exp": NOW + 0.5}, None),
        ({"nbf": NOW + 59}, None),
        ({"nbf": NOW + 61}, Reason.TOO_NEW),
        ({"nbf": "x"}, Reason.MALFORMED),
        ({"iat": NOW + 61}, Reason.TOO_NEW),
        ({"iat": None}, None),
        ({"iss": "https://login.example/"}, Reason.CLAIMS),
        ({"iss": "https://evil.example"}, Reason.CLAIMS),
        ({"iss": None}, Reason.CLAIMS),
        ({"aud": "weft"}, None),
        ({"aud": "other"}, Reason.CLAIMS),
        ({"aud": ["a", "b"]}, Reason.CLAIMS),
        ({"aud": []}, Reason.CLAIMS),
        ({"aud": None}, Reason.CLAIMS),
        ({"aud": {"weft": True}}, Reason.CLAIMS),
    ],
    ids=str,
)
def test_a_token_is_for_a_time_and_a_purpose(changed: dict[str, Any], reason: Reason | None) -> None:
    assert refusal(token(claims(**changed))) is reason


def test_the_tolerance_stretches_a_tokens_times() -> None:
    assert refusal(token(claims(exp=NOW - 250)), tolerance="5m") is None
    assert refusal(token(claims(exp=NOW - 2)), tolerance="1s") is Reason.TOO_OLD


@pytest.mark.parametrize(
    ("given", "wanted", "right"),
    [
        ("ci", "ci", True),
        ("ci", ["cd", "ci"], True),
        (["x", "ci"], ["cd", "ci"], True),
        (["x"], ["cd", "ci"], False),
        ("cix", "ci", False),
        (None, "ci", False),
        (1, True, False),
        (True, True, True),
        (1, 1, True),
        ("1", 1, False),
        ({"ci": 1}, "ci", False),
    ],
)
def test_claims_have_one_of_the_values_that_are_asked_for(given: Any, wanted: Any, right: bool) -> None:
    reason = refusal(token(claims(role=given)), claims={"role": wanted, "sub": "ci"})
    assert reason is (None if right else Reason.CLAIMS)


def test_a_token_can_come_alone_in_another_header() -> None:
    rule, listed = {"header": "Cf-Access-Jwt-Assertion"}, [public_jwk()]
    alone, behind = (b"cf-access-jwt-assertion", token().encode()), (b"authorization", b"Bearer x")
    assert asyncio.run(_refusal(alone, listed, rule)) is None
    assert asyncio.run(_refusal(behind, listed, rule)) is Reason.MISSING


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_an_unsigned_token_is_none() -> None:
    for algorithm in ("none", "None", "NONE", "", None):
        head = encoded({"alg": algorithm, "kid": "k1"})
        assert refusal(f"{head}.{encoded(CLAIMS)}.") is Reason.MALFORMED
        assert refusal(f"{head}.{encoded(CLAIMS)}.AAAA") is Reason.MALFORMED


def test_a_public_key_is_no_secret_to_sign_with() -> None:
    """The oldest trick: HS256 with what everybody knows, the issuer's public key."""
    pem = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signing_input = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{encoded(CLAIMS)}"
    forged = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing_input.encode(), pem
    )
    text = f"{signing_input}.{base64.urlsafe_b64encode(forged).decode().rstrip('=')}"
    assert refusal(text, keys=[rsa_jwk(RSA_KEY)]) is Reason.MALFORMED
    # Even where the rule would name the algorithm (the file's checks refuse that), no key of an issuer serves it.
    symmetric = [rsa_jwk(RSA_KEY), {"kty": "oct", "k": encoded("x"), "kid": "k1", "alg": "HS256"}]
    assert refusal(text, keys=symmetric, algorithms=["HS256"]) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_an_rsa_key_without_an_algorithm_serves_all_of_its_kind(algorithm: str) -> None:
    text = token(key=RSA_KEY, algorithm=algorithm)
    assert refusal(text, keys=[rsa_jwk(RSA_KEY)]) is None
    only = "RS256" if algorithm != "RS256" else "RS512"
    assert refusal(text, keys=[rsa_jwk(RSA_KEY, alg=only)]) is Reason.UNKNOWN_KEY
    assert refusal(text, keys=[rsa_jwk(RSA_KEY)], algorithms=[only]) is Reason.MALFORMED


def test_keys_of_edwards_and_of_other_curves_serve_too() -> None:
    assert refusal(token(key=EDWARDS_KEY, algorithm="EdDSA"), keys=[edwards_jwk()]) is None
    algorithm = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA384)
    jwk = {**algorithm.to_jwk(P384_KEY.public_key(), as_dict=True), "kid": "k1"}
    assert refusal(token(key=P384_KEY, algorithm="ES384"), keys=[jwk]) is None


def test_the_key_is_the_one_that_the_token_names() -> None:
    other = public_jwk(OTHER_KEY, kid="k2")
    assert refusal(token(kid="k1"), keys=[other, public_jwk()]) is None
    assert refusal(token(kid="k2"), keys=[other, public_jwk()]) is Reason.WRONG
    assert refusal(token(kid="k3"), keys=[other, public_jwk()]) is Reason.UNKNOWN_KEY


def test_a_token_that_names_no_key_is_tried_with_those_that_fit() -> None:
    listed = [rsa_jwk(RSA_KEY), public_jwk(OTHER_KEY, kid="k2"), public_jwk()]
    bare = jwt.encode(dict(CLAIMS), key=ISSUERS_KEY, algorithm="ES256")
    assert refusal(bare, keys=listed) is None
    assert refusal(bare, keys=listed[:2]) is Reason.WRONG


def test_keys_that_are_of_no_use_are_left_out() -> None:
    useless = [
        7,
        {},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "k1"},
        {"kty": "RSA", "n": "", "e": "", "kid": "k1"},
        {"kty": "strange", "kid": "k1"},
        public_jwk(OTHER_KEY, use="enc"),
        public_jwk(OTHER_KEY, alg="ES512"),
        public_jwk(kid=["k1"]),
    ]
    assert refusal(token(), keys=[*useless, public_jwk()]) is None
    assert refusal(token(), keys=useless) is Reason.UNKNOWN_KEY


def test_a_key_that_is_too_small_verifies_nothing() -> None:
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        text = token(key=SMALL_KEY, algorithm="RS256")
    assert refusal(text, keys=[rsa_jwk(SMALL_KEY)]) is Reason.UNKNOWN_KEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b",
        "a.b.c.d",
        "..",
        "a.b.c",
        f"{encoded([])}.{encoded({})}.AAAA",
        f"{encoded({'alg': ['ES256']})}.{encoded({})}.AAAA",
        f"{encoded({'alg': 'ES256', 'kid': 7})}.{encoded({})}.AAAA",
        f"{encoded({'alg': 'ES256', 'kid': 'k' * 501})}.{encoded({})}.AAAA",
        "e" * 20_000 + ".e.e",
        token() + "=",
        token() + " ",
        "\xe9",
    ],
    ids=range(14),
)
def test_what_is_no_token_is_refused(text: str) -> None:
    assert refusal(text) is Reason.MALFORMED


def test_what_a_head_calls_critical_has_to_be_understood() -> None:
    """RFC 7515, section 4.1.11"""
    assert refusal(token(crit=["exp"], exp=1)) is Reason.MALFORMED


def test_claims_that_are_no_object_are_refused() -> None:
    for payload in (b"[]", b"7", b"{", b"\xff"):
        text = jwt.PyJWS().encode(payload, ISSUERS_KEY, "ES256", headers={"kid": "k1"})
        assert refusal(text) is Reason.MALFORMED


def by_secret(text: str, *secrets: str, **rule: Any) -> Reason | None:
    written = {**JWT_SECRET.rule, **rule}
    call = SignedCall("POST", (), [(b"authorization", b"Bearer " + text.encode())], b"")
    try:
        Verifier(verify_from(written), secrets or JWT_SECRET.secrets).check(call, NOW)
    except Unverified as unverified:
        return unverified.reason
    return None


def test_with_a_secret_other_algorithms_are_refused() -> None:
    key = JWT_SECRET.secrets[0] * 2
    assert by_secret(token(key=key, algorithm="HS256"), key) is None
    assert by_secret(token(key=key, algorithm="HS512"), key) is Reason.MALFORMED
    assert by_secret(token(key=key, algorithm="HS512"), key, algorithms=["HS512"]) is None
    assert by_secret(token()) is Reason.MALFORMED


def test_a_secret_that_is_too_short_verifies_nothing() -> None:
    """RFC 7518, section 3.2: whoever sees one token could try secrets until one fits."""
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        text = token(key="short", algorithm="HS256")
    assert by_secret(text, "short") is Reason.NO_SECRET
    assert (
        by_secret(token(key=JWT_SECRET.secrets[0], algorithm="HS256"), "short", JWT_SECRET.secrets[0]) is None
    )


def test_without_its_issuer_asked_a_rule_of_an_issuer_verifies_nobody() -> None:
    rule = verify_from({"provider": "jwt", "issuer": ISSUER, "audience": "weft"})
    call = SignedCall("POST", (), [(b"authorization", b"Bearer " + token().encode())], b"")
    with pytest.raises(Unverified) as caught:
        Verifier(rule, ()).check(call, NOW)
    assert caught.value.reason is Reason.NO_SECRET


def test_a_token_has_one_spelling() -> None:
    """The last letter of a segment has bits that mean nothing: with others of them it would be another text."""
    text = token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(text[-1])
    assert last % 16 == 0, "64 bytes leave four bits"
    for letter in alphabet[last + 1 : last + 16]:
        assert refusal(text[:-1] + letter) is Reason.MALFORMED
