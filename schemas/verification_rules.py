"""What must hold in `verify` beyond its shape: options that fit the provider, no secret in the repository."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from schemas.mistakes import Mistake, did_you_mean
from schemas.pattern import JSON
from schemas.quantities import seconds
from schemas.template_text import OPENING
from schemas.verification import ASYMMETRIC, BODY, SYMMETRIC, TIMESTAMP, Provider

LONGEST_TOLERANCE: Final = 3600.0
"""Seconds. Whoever overhears a call can repeat it for so long."""

_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_SHARED: Final = frozenset({"provider", "secret", "mode", "methods"})
_TIMED: Final = frozenset({"tolerance"})
_KEYS: Final[Mapping[Provider, frozenset[str]]] = {
    Provider.GITHUB: frozenset(),
    Provider.GITLAB: _TIMED,
    Provider.STRIPE: _TIMED,
    Provider.SLACK: _TIMED,
    Provider.SHOPIFY: frozenset(),
    Provider.TWILIO: frozenset(),
    Provider.STANDARD_WEBHOOKS: _TIMED,
    Provider.HMAC: _TIMED | {"header", "algorithm", "encoding", "prefix", "timestampHeader", "payload"},
    Provider.BEARER: frozenset({"header"}),
    Provider.BASIC: frozenset({"user"}),
    Provider.JWT: _TIMED | {"header", "issuer", "audience", "jwksUrl", "algorithms", "claims"},
}
_NEEDED: Final[Mapping[Provider, tuple[str, ...]]] = {
    Provider.HMAC: ("secret", "header"),
    Provider.BASIC: ("secret", "user"),
    Provider.JWT: (),
}

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_KNOWN_SECRETS: Final = re.compile(
    r"wh(?:sec|sk|pk)_|sk_(?:live|test)_|gh[opsu]_|glpat|shp[a-z]{2}_|xox|eyJ|[0-9A-Fa-f]{32,}$"
)
"""How secrets begin that could be names. (The last one is what `openssl rand -hex` prints.)"""

_PLACEHOLDER: Final = re.compile(r"\{[^{}]*\}")
_NOT_SIGNED: Final = frozenset(
    {"connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host"}
    | {"te", "trailer", "transfer-encoding", "upgrade", "user-agent"}
)
"""Headers that HTTP itself has a use for."""

_Path = tuple[str | int, ...]


def verify_mistakes(written: JSON, at: _Path) -> Iterator[Mistake]:
    """All mistakes of a webhook's `verify`, whatever shape it has; `at` is where it stands."""
    if not isinstance(written, dict):
        return  # the JSON Schema says so
    yield from _secret_mistakes(written.get("secret"), (*at, "secret"))
    yield from _tolerance_mistakes(written.get("tolerance"), (*at, "tolerance"))
    yield from _header_mistakes(written, at)
    if written.get("provider") not in [str(one) for one in Provider]:
        return
    provider = Provider(written["provider"])
    yield from _key_mistakes(provider, written, at)
    if provider is Provider.HMAC:
        yield from _payload_mistakes(written, at)
    if provider is Provider.JWT:
        yield from _jwt_mistakes(written, at)


def method_mistakes(webhook: Mapping[str, JSON], at: _Path) -> Iterator[Mistake]:
    """Methods that `verify` names and the webhook does not take: then the ones that it takes are not verified."""
    verify = webhook.get("verify")
    named = verify.get("methods") if isinstance(verify, dict) else None
    taken = webhook.get("methods", ["POST"])
    for index, method in enumerate(named if isinstance(named, list) and isinstance(taken, list) else ()):
        if method in _METHODS and method not in taken:
            path = (*at, "verify", "methods", index)
            message = f"{method} is verified, but the webhook does not take it"
            hint = "Name methods of the webhook. Those that are not named here are taken unverified."
            yield Mistake(path=path, code="invalid-value", message=message, hint=hint)


def _key_mistakes(provider: Provider, written: Mapping[str, JSON], at: _Path) -> Iterator[Mistake]:
    known, every = _KEYS[provider], frozenset().union(*_KEYS.values())
    for key in written:
        if key in every and key not in known:
            message = f'the provider {provider} has no "{key}"'
            hint = did_you_mean(key, known | _SHARED)
            yield Mistake(path=(*at, key), at_key=True, code="unknown-key", message=message, hint=hint)
    for key in _NEEDED.get(provider, ("secret",)):
        if key not in written:
            yield _missing(f'the provider {provider} needs "{key}"', f'Add "{key}: …".', at)


def _secret_mistakes(secret: JSON, at: _Path) -> Iterator[Mistake]:
    several = [((*at, index), one) for index, one in enumerate(secret)] if isinstance(secret, list) else []
    for path, one in several or [(at, secret)]:
        if not isinstance(one, str):
            continue  # the JSON Schema says so, or it is missing
        if OPENING in one:
            hint = "Write the secret's name alone, as in `secret: ORDERS_HOOK_SECRET`."
            message = '"secret" is the name of a secret, not an expression'
            yield Mistake(path=path, code="template-not-allowed", message=message, hint=hint)
        elif not _NAME.fullmatch(one) or _KNOWN_SECRETS.match(one):
            message = '"secret" does not look like the name of a secret, but like the secret itself'
            hint = (
                "Keep it with `weft secret set NAME` and write its name: letters, digits and underscores."
                " If it was the secret, change it: it is known."
            )
            yield Mistake(path=path, code="literal-secret", message=message, hint=hint)


def _tolerance_mistakes(tolerance: JSON, at: _Path) -> Iterator[Mistake]:
    try:
        long = isinstance(tolerance, str) and seconds(tolerance) > LONGEST_TOLERANCE
    except ValueError:
        return  # the JSON Schema says so
    if long:
        message = f'"tolerance" cannot be {tolerance}: for so long a call could be repeated by others'
        yield Mistake(path=at, code="invalid-value", message=message, hint="Write at most 1h.")


def _header_mistakes(written: Mapping[str, JSON], at: _Path) -> Iterator[Mistake]:
    for key in ("header", "timestampHeader"):
        name = written.get(key)
        if isinstance(name, str) and name.lower() in _NOT_SIGNED:
            message = f'"{key}" cannot be {name}, which HTTP has a use for itself'
            hint = "Write the header that the sender's documentation names, such as X-Signature."
            yield Mistake(path=(*at, key), code="invalid-value", message=message, hint=hint)
    header, timestamp = written.get("header"), written.get("timestampHeader")
    if isinstance(header, str) and isinstance(timestamp, str) and header.lower() == timestamp.lower():
        message = '"timestampHeader" is the header of the signature'
        hint = "Name the header that has the time alone."
        yield Mistake(path=(*at, "timestampHeader"), code="invalid-value", message=message, hint=hint)


def _payload_mistakes(written: Mapping[str, JSON], at: _Path) -> Iterator[Mistake]:
    timed = "timestampHeader" in written
    if "tolerance" in written and not timed:
        message = 'without "timestampHeader" there is no time that "tolerance" could be about'
        hint = "Add the header that has the signed time, or take `tolerance` out."
        yield Mistake(
            path=(*at, "tolerance"), at_key=True, code="conflicting-keys", message=message, hint=hint
        )
    payload = written.get("payload")
    wrong = _wrong_payload(payload, timed=timed) if isinstance(payload, str) else None
    if wrong:
        message, hint = wrong
        yield Mistake(path=(*at, "payload"), code="invalid-value", message=message, hint=hint)


def _wrong_payload(payload: str, *, timed: bool) -> tuple[str, str] | None:
    """Message and hint."""
    places = _PLACEHOLDER.findall(payload)
    unknown = [place for place in places if place not in (BODY, TIMESTAMP)]
    if unknown:
        return (
            f'"payload" cannot hold {unknown[0]:.80}',
            f"It may hold {BODY} and {TIMESTAMP}, and text that stays as it is.",
        )
    if places.count(BODY) != 1:
        return f'"payload" must hold {BODY} once', f"Write it as in {TIMESTAMP}.{BODY}."
    if TIMESTAMP in places and not timed:
        return f'"payload" holds {TIMESTAMP}, and nothing says where it is', "Add `timestampHeader: …`."
    if places.count(TIMESTAMP) != int(timed):
        return (
            f'"payload" must hold {TIMESTAMP} once: a time that is not signed is worth nothing',
            f"Write it as in {TIMESTAMP}.{BODY}.",
        )
    return None


def _jwt_mistakes(written: Mapping[str, JSON], at: _Path) -> Iterator[Mistake]:
    by_secret = "secret" in written
    if not by_secret and "issuer" not in written:
        hint = 'Add "issuer: https://…", or "secret: …" for tokens that are signed with one.'
        yield _missing('the provider jwt needs "issuer" or "secret"', hint, at)
    if by_secret and "jwksUrl" in written:
        message = 'tokens are signed with "secret" or with the keys of "jwksUrl", not with both'
        hint = "Keep one of them."
        yield Mistake(path=(*at, "jwksUrl"), at_key=True, code="conflicting-keys", message=message, hint=hint)
    if not by_secret and "issuer" in written and not {"audience", "claims"} & written.keys():
        message = (
            'without "audience" or "claims" every token of the issuer would do, whomever it was made for'
        )
        yield _missing(message, 'Add "audience: …", or claims that only the caller has.', at)
    yield from _algorithm_mistakes(written.get("algorithms"), by_secret, (*at, "algorithms"))
    for key in ("issuer", "jwksUrl"):
        url = written.get(key)
        if isinstance(url, str) and not by_secret and not _is_address(url, query=key == "jwksUrl"):
            message = f'"{key}" is not the address of a web server'
            hint = "Write it as in https://login.example.com/realms/shop."
            yield Mistake(path=(*at, key), code="invalid-value", message=message, hint=hint)


def _algorithm_mistakes(listed: JSON, by_secret: bool, at: _Path) -> Iterator[Mistake]:
    fitting = SYMMETRIC if by_secret else ASYMMETRIC
    for index, one in enumerate(listed if isinstance(listed, list) else ()):
        if one in (*ASYMMETRIC, *SYMMETRIC) and one not in fitting:
            whose = "a secret" if by_secret else "an issuer's public keys"
            message = f"{one} does not verify with {whose}"
            hint = f"Write one of {', '.join(fitting)}."
            yield Mistake(path=(*at, index), code="invalid-value", message=message, hint=hint)


def _is_address(url: str, *, query: bool) -> bool:
    """http is for addresses that the project's `network.allow` has; whether it is one is known when it is asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = not parts.fragment and (query or not parts.query) and "@" not in parts.netloc and port != 0
    return plain and parts.scheme in ("https", "http") and bool(parts.hostname) and not re.search(r"\s", url)


def _missing(message: str, hint: str, at: _Path) -> Mistake:
    return Mistake(path=at, at_key=True, code="missing-key", message=message, hint=hint)
