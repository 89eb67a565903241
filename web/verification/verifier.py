"""The providers' table: a rule and its secrets become what judges calls."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from schemas.verification import BasicOptions, BearerOptions, HmacOptions, JwtOptions, Provider, Verify
from web.verification import digests
from web.verification.call import Check, Reason, SignedCall, Unverified, secret_bytes
from web.verification.credentials import AUTHORIZATION, BasicCheck, TokenCheck
from web.verification.digests import DigestCheck
from web.verification.gitlab import TOKEN_HEADER, GitlabCheck
from web.verification.sources import KeySource
from web.verification.standard_webhooks import StandardCheck
from web.verification.stripe import StripeCheck
from web.verification.twilio import TwilioCheck

if TYPE_CHECKING:
    from web.verification.jwks import Keys
    from web.verification.tokens import TokenReader

_NO_SECRET: Final = (
    "No secret is set here by the name that `verify` has, or a blank one: nobody can be verified."  # noqa: S105
)


def verify(rule: Verify, secrets: Sequence[str], call: SignedCall, now: float) -> None:
    """Judge one call at `now` (Unix time). Raises Unverified. For many calls, make one `Verifier`."""
    Verifier(rule, secrets).check(call, now)


def secret_headers(rule: Verify) -> frozenset[bytes]:
    """The headers (lower case) that carry what opens the webhook: never to be kept or shown."""
    return frozenset(header.encode() for header in _secret_headers(rule))


class Verifier:
    """One rule with its secrets' values, for many calls. Without a secret that is not blank it verifies none.

    `signs_url`: the call's `urls` are looked at. `asks_issuer`: calls go to `check_by_issuer`.
    """

    def __init__(self, rule: Verify, secrets: Sequence[str]) -> None:
        self._methods = rule.methods
        self.signs_url = rule.provider is Provider.TWILIO
        self.secret_headers = secret_headers(rule)
        self._issuer = _IssuerTokens.of(rule)
        self.asks_issuer = self._issuer is not None
        known = [secret for secret in secrets if secret.strip()]
        self._check: Check = _FAMILIES[rule.provider](rule, known) if known else _refuse_all

    def covers(self, method: str) -> bool:
        """Whether calls of that method are verified; others go through."""
        return self._methods is None or method in self._methods

    def check(self, call: SignedCall, now: float) -> None:
        """Raises Unverified where the call, at `now` (Unix time), is not from whom the rule names."""
        if self.covers(call.method):
            self._check(call, now)

    async def check_by_issuer(
        self, call: SignedCall, now: float, keys: Keys, allow: tuple[str, ...] = ()
    ) -> None:
        """As `check`, with the issuer's keys. `allow` is the project's `network.allow`."""
        if self._issuer is None:
            self.check(call, now)
        elif self.covers(call.method):
            source, reader = self._issuer
            token = reader.read(call)
            found = await keys.get(source, allow, token.key_id, token.algorithm)
            reader.check(token, found, now)


class _IssuerTokens(NamedTuple):
    source: KeySource
    reader: TokenReader

    @classmethod
    def of(cls, rule: Verify) -> _IssuerTokens | None:
        options = rule.options
        if not isinstance(options, JwtOptions) or options.issuer is None or rule.secrets:
            return None
        source = KeySource(issuer=options.issuer, jwks_url=options.jwks_url)
        return cls(source, _tokens().TokenReader(options, rule.tolerance))


def _refuse_all(_call: SignedCall, _now: float) -> None:
    raise Unverified(Reason.NO_SECRET, _NO_SECRET)


def _encoded(secrets: Sequence[str]) -> list[bytes]:
    return [secret_bytes(secret) for secret in secrets]


def _hmac(rule: Verify, secrets: Sequence[str]) -> Check:
    assert isinstance(rule.options, HmacOptions)
    return DigestCheck(rule.options, _encoded(secrets), rule.tolerance, lenient=True)


def _bearer(rule: Verify, secrets: Sequence[str]) -> Check:
    assert isinstance(rule.options, BearerOptions)
    return TokenCheck(rule.options.header, secrets)


def _basic(rule: Verify, secrets: Sequence[str]) -> Check:
    assert isinstance(rule.options, BasicOptions)
    return BasicCheck(rule.options.user, secrets)


def _jwt(rule: Verify, secrets: Sequence[str]) -> Check:
    assert isinstance(rule.options, JwtOptions)
    return cast(Check, _tokens().SecretTokenCheck(rule.options, _encoded(secrets), rule.tolerance))


def _tokens() -> Any:
    """Its library takes long to read, and few rules need it."""
    return importlib.import_module("web.verification.tokens")


def _by_digest(options: HmacOptions) -> Callable[[Verify, Sequence[str]], Check]:
    return lambda rule, secrets: DigestCheck(options, _encoded(secrets), rule.tolerance)


_FAMILIES: Final[Mapping[Provider, Callable[[Verify, Sequence[str]], Check]]] = {
    Provider.GITHUB: _by_digest(digests.GITHUB),
    Provider.GITLAB: lambda rule, secrets: GitlabCheck(secrets, rule.tolerance),
    Provider.STRIPE: lambda rule, secrets: StripeCheck(_encoded(secrets), rule.tolerance),
    Provider.SLACK: _by_digest(digests.SLACK),
    Provider.SHOPIFY: _by_digest(digests.SHOPIFY),
    Provider.TWILIO: lambda _rule, secrets: TwilioCheck(_encoded(secrets)),
    Provider.STANDARD_WEBHOOKS: lambda rule, secrets: StandardCheck(secrets, rule.tolerance),
    Provider.HMAC: _hmac,
    Provider.BEARER: _bearer,
    Provider.BASIC: _basic,
    Provider.JWT: _jwt,
}


def _secret_headers(rule: Verify) -> tuple[str, ...]:
    if rule.provider is Provider.GITLAB:
        return (TOKEN_HEADER,)
    if rule.provider is Provider.BASIC:
        return (AUTHORIZATION,)
    if isinstance(rule.options, BearerOptions | JwtOptions):
        return (rule.options.header or AUTHORIZATION,)
    return ()
