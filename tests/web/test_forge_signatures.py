"""Signatures over raw bytes, against the vectors that are published."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from reconciler.forges.address import ForgeKind
from web.forge.signatures import is_signed
from web.verification.call import SignedCall

SECRET, BODY = "It's a Secret to Everybody", b"Hello, World!"
DIGEST = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
"""https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation"""

SVIX = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The example of https://github.com/standard-webhooks/standard-webhooks, with its signature."""
SVIX_HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SVIX_BODY = b'{"test": 2432232314}'
NOW = 1614265330.0

SIGNED = {
    ForgeKind.GITHUB: {"x-hub-signature-256": f"sha256={DIGEST}"},
    ForgeKind.GITEA: {"x-gitea-signature": DIGEST},
    ForgeKind.GITLAB: {"x-gitlab-token": SECRET},
}


def signed(kind: ForgeKind, secrets: list[str], headers: dict[str, str], body: bytes, now: float) -> bool:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return is_signed(kind, secrets, SignedCall("POST", (), raw, body), now)


@pytest.mark.parametrize("kind", ForgeKind)
def test_what_is_signed_with_the_secret_is_right(kind: ForgeKind) -> None:
    assert signed(kind, [SECRET], SIGNED[kind], BODY, NOW)
    assert signed(kind, ["another one, older", SECRET], SIGNED[kind], BODY, NOW)


@pytest.mark.parametrize("kind", ForgeKind)
def test_another_secret_or_none_is_wrong(kind: ForgeKind) -> None:
    assert not signed(kind, ["It's a Secret to Nobody"], SIGNED[kind], BODY, NOW)
    assert not signed(kind, [], SIGNED[kind], BODY, NOW)
    assert not signed(kind, [SECRET], {}, BODY, NOW)


@pytest.mark.parametrize("kind", [ForgeKind.GITHUB, ForgeKind.GITEA])
def test_another_body_is_wrong(kind: ForgeKind) -> None:
    assert not signed(kind, [SECRET], SIGNED[kind], BODY + b" ", NOW)


@pytest.mark.parametrize("other", ForgeKind)
@pytest.mark.parametrize("kind", ForgeKind)
def test_the_signature_for_one_forge_is_none_for_another(kind: ForgeKind, other: ForgeKind) -> None:
    assert signed(kind, [SECRET], SIGNED[other], BODY, NOW) == (kind is other)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "sha256=",
        DIGEST,
        f"sha1={DIGEST}",
        f"sha256={DIGEST.upper()}",
        f"sha256={DIGEST[:-1]}",
        "sha256=\xe9",
    ],
)
def test_what_only_looks_like_githubs_signature_is_wrong(given: str) -> None:
    assert not signed(ForgeKind.GITHUB, [SECRET], {"x-hub-signature-256": given}, BODY, NOW)


def test_forgejos_own_header_counts_where_there_are_both() -> None:
    both = {"x-gitea-signature": DIGEST, "x-forgejo-signature": "0" * 64}
    assert not signed(ForgeKind.GITEA, [SECRET], both, BODY, NOW)
    assert signed(ForgeKind.GITEA, [SECRET], {"x-forgejo-signature": DIGEST}, BODY, NOW)


def test_gitlabs_signing_token_signs_as_standard_webhooks_do() -> None:
    assert signed(ForgeKind.GITLAB, [SVIX], SVIX_HEADERS, SVIX_BODY, NOW)
    two = SVIX_HEADERS | {"webhook-signature": f"v1,AAAA {SVIX_HEADERS['webhook-signature']}"}
    assert signed(ForgeKind.GITLAB, [SVIX], two, SVIX_BODY, NOW + 299)


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_another"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "\xb2"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    ],
    ids=str,
)
def test_a_signing_token_is_wrong_for_anything_else(changed: dict[str, str]) -> None:
    assert not signed(ForgeKind.GITLAB, [SVIX], SVIX_HEADERS | changed, SVIX_BODY, NOW)


def test_an_old_signature_is_a_replay() -> None:
    assert not signed(ForgeKind.GITLAB, [SVIX], SVIX_HEADERS, SVIX_BODY, NOW + 301)
    assert not signed(ForgeKind.GITLAB, [SVIX], SVIX_HEADERS, SVIX_BODY, NOW - 301)


def test_with_a_signing_token_the_token_itself_opens_nothing() -> None:
    assert not signed(ForgeKind.GITLAB, [SVIX], {"x-gitlab-token": SVIX}, SVIX_BODY, NOW)


def test_a_signing_token_that_is_not_base64_fits_nothing() -> None:
    signature = base64.b64encode(hmac.digest(b"", b"x.1614265330.", hashlib.sha256)).decode()
    headers = SVIX_HEADERS | {"webhook-id": "x", "webhook-signature": f"v1,{signature}"}
    assert not signed(ForgeKind.GITLAB, ["whsec_not base64 at all"], headers, b"", NOW)


@pytest.mark.parametrize("kind", ForgeKind)
def test_a_secret_that_is_empty_fits_nothing(kind: ForgeKind) -> None:
    empty = hmac.new(b"", BODY, hashlib.sha256).hexdigest()
    headers = {"x-hub-signature-256": f"sha256={empty}", "x-gitlab-token": "", "x-gitea-signature": empty}
    assert not signed(kind, [""], headers, BODY, NOW)


@pytest.mark.parametrize("kind", ForgeKind)
def test_a_signature_that_comes_twice_is_wrong(kind: ForgeKind) -> None:
    twice = [(name.encode(), value.encode()) for name, value in SIGNED[kind].items()] * 2
    assert not is_signed(kind, [SECRET], SignedCall("POST", (), twice, BODY), NOW)
