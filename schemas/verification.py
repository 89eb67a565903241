"""Who may call a webhook, typed: which provider signs, by which secrets, and what it signs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from schemas.quantities import seconds

DEFAULT_TOLERANCE: Final = 300.0
"""Seconds between the sender's clock and ours: what Stripe, Slack and Standard Webhooks use themselves."""

DEFAULT_LEEWAY: Final = 60.0
"""Seconds for which a JWT is believed beyond its times: clocks differ."""

BODY: Final = "{body}"
TIMESTAMP: Final = "{timestamp}"
PAYLOAD_WITH_TIMESTAMP: Final = f"{TIMESTAMP}.{BODY}"
"""What `hmac` takes as signed where a `timestampHeader` is named and no `payload` says otherwise."""

ASYMMETRIC: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
SYMMETRIC: Final = ("HS256", "HS384", "HS512")


class Provider(StrEnum):
    GITHUB = "github"
    GITLAB = "gitlab"
    STRIPE = "stripe"
    SLACK = "slack"
    SHOPIFY = "shopify"
    TWILIO = "twilio"
    STANDARD_WEBHOOKS = "standard-webhooks"
    HMAC = "hmac"  # any other that signs with a shared secret
    BEARER = "bearer"
    BASIC = "basic"
    JWT = "jwt"


class Mode(StrEnum):
    ENFORCE = "enforce"  # a call that is not verified is refused
    OBSERVE = "observe"  # it is accepted, and the delivery says what would have been


class Encoding(StrEnum):
    HEX = "hex"
    BASE64 = "base64"
    BASE64URL = "base64url"


@dataclass(frozen=True, kw_only=True)
class HmacOptions:
    """`payload` is what is signed, with `{body}` once, and `{timestamp}` where `timestamp_header` has it."""

    header: str
    algorithm: str = "sha256"
    encoding: Encoding = Encoding.HEX
    prefix: str = ""
    timestamp_header: str | None = None
    payload: str = BODY


@dataclass(frozen=True, kw_only=True)
class BearerOptions:
    """Without `header` the token is in `Authorization`, behind `Bearer`."""

    header: str | None = None


@dataclass(frozen=True, kw_only=True)
class BasicOptions:
    user: str


@dataclass(frozen=True, kw_only=True)
class JwtOptions:
    """With secrets they are the keys; without, the keys are the issuer's, at `jwks_url` or where it says itself.

    A token must have every claim of `claims` with one of the values named there; a claim that is a list must
    hold one of them.
    """

    issuer: str | None = None
    audience: tuple[str, ...] = ()
    jwks_url: str | None = None
    algorithms: tuple[str, ...] = ASYMMETRIC
    claims: tuple[tuple[str, tuple[str | int | bool, ...]], ...] = ()
    header: str | None = None


Options = HmacOptions | BearerOptions | BasicOptions | JwtOptions


@dataclass(frozen=True, kw_only=True)
class Verify:
    """`secrets` are names: one, or two while the secret changes. `methods` None: every call is verified.

    `tolerance` (seconds) is how far a signed time may be from ours; for a JWT, how far it is stretched.
    """

    provider: Provider
    secrets: tuple[str, ...] = ()
    mode: Mode = Mode.ENFORCE
    methods: tuple[str, ...] | None = None
    tolerance: float = DEFAULT_TOLERANCE
    options: Options | None = None


def verify_from(written: Mapping[str, Any]) -> Verify:
    """The typed rule of a `verify` mapping that passed the checks."""
    provider = Provider(written["provider"])
    leeway = DEFAULT_LEEWAY if provider is Provider.JWT else DEFAULT_TOLERANCE
    return Verify(
        provider=provider,
        secrets=_texts(written.get("secret", ())),
        mode=Mode(written.get("mode", Mode.ENFORCE)),
        methods=tuple(written["methods"]) if "methods" in written else None,
        tolerance=seconds(written["tolerance"]) if "tolerance" in written else leeway,
        options=_options(provider, written),
    )


def _options(provider: Provider, written: Mapping[str, Any]) -> Options | None:
    match provider:
        case Provider.HMAC:
            return _hmac(written)
        case Provider.BEARER:
            return BearerOptions(header=_lower(written.get("header")))
        case Provider.BASIC:
            return BasicOptions(user=written["user"])
        case Provider.JWT:
            return _jwt(written)
        case _:
            return None


def _hmac(written: Mapping[str, Any]) -> HmacOptions:
    header = _lower(written["header"])
    assert header is not None
    timestamp = _lower(written.get("timestampHeader"))
    return HmacOptions(
        header=header,
        algorithm=written.get("algorithm", HmacOptions.algorithm),
        encoding=Encoding(written.get("encoding", HmacOptions.encoding)),
        prefix=written.get("prefix", ""),
        timestamp_header=timestamp,
        payload=written.get("payload", PAYLOAD_WITH_TIMESTAMP if timestamp else BODY),
    )


def _jwt(written: Mapping[str, Any]) -> JwtOptions:
    algorithms = ("HS256",) if "secret" in written else JwtOptions.algorithms
    return JwtOptions(
        issuer=written.get("issuer"),
        audience=_texts(written.get("audience", ())),
        jwks_url=written.get("jwksUrl"),
        algorithms=tuple(written.get("algorithms", algorithms)),
        claims=tuple((name, _values(value)) for name, value in written.get("claims", {}).items()),
        header=_lower(written.get("header")),
    )


def _texts(written: str | Iterable[str]) -> tuple[str, ...]:
    return (written,) if isinstance(written, str) else tuple(written)


def _values(written: Any) -> tuple[str | int | bool, ...]:
    return tuple(written) if isinstance(written, list) else (written,)


def _lower(name: str | None) -> str | None:
    """Headers are compared by their names in lower case."""
    return None if name is None else name.lower()
