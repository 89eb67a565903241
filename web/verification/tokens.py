"""JSON Web Tokens (RFC 7519, and RFC 8725 for what not to believe): by a secret, or by the keys of an issuer.

OpenID Connect Discovery says where an issuer's keys are: https://openid.net/specs/openid-connect-discovery-1_0.html.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from jwt import PyJWK, get_algorithm_by_name

from schemas.pattern import JSON
from schemas.verification import JwtOptions
from web.verification.call import Reason, SignedCall, Unverified
from web.verification.credentials import TokenCarrier

_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_LONGEST: Final = 16 * 1024  # bytes of a token
_LONGEST_KEY_ID: Final = 500  # characters
_SHORTEST_SECRET: Final = {"HS256": 32, "HS384": 48, "HS512": 64}  # bytes (RFC 7518, section 3.2)


class Token(NamedTuple):
    """One that is not believed yet: which key it says it is signed with, and what that key has to have signed."""

    algorithm: str
    key_id: str | None
    signed: bytes
    signature: bytes
    payload: bytes


class TokenReader:
    """What a rule says of tokens. `leeway` is in seconds."""

    def __init__(self, options: JwtOptions, leeway: float) -> None:
        self._options = options
        self._leeway = leeway
        self._carrier = TokenCarrier(options.header)

    def read(self, call: SignedCall) -> Token:
        """The call's token, if its head is such as the rule takes. Raises Unverified."""
        text = self._carrier.token(call)
        if len(text) > _LONGEST or not _TOKEN.fullmatch(text):
            raise Unverified(Reason.MALFORMED, f"{self._carrier.shown} does not hold a signed JWT.")
        signed, _, signature = text.rpartition(b".")
        first, _, payload = signed.partition(b".")
        head = _mapping(_decoded(first), "head")
        algorithm, key_id = head.get("alg"), head.get("kid")
        if algorithm not in self._options.algorithms:
            known = ", ".join(self._options.algorithms)
            raise Unverified(Reason.MALFORMED, f"The token is signed with another algorithm than {known}.")
        if key_id is not None and not (isinstance(key_id, str) and len(key_id) <= _LONGEST_KEY_ID):
            raise Unverified(Reason.MALFORMED, "The token does not name its key (`kid`) by a short text.")
        if "crit" in head:  # RFC 7515, section 4.1.11
            raise Unverified(
                Reason.MALFORMED, "The token's head has something critical that is not known here."
            )
        return Token(algorithm, key_id, signed, _decoded(signature), _decoded(payload))

    def check(self, token: Token, keys: Sequence[PyJWK | bytes], now: float) -> None:
        """Raises Unverified where no key fits, or where the token is for another time or purpose."""
        claims = _claims(token, keys)
        self._check_times(claims, now)
        self._check_purpose(claims)

    def _check_times(self, claims: Mapping[str, JSON], now: float) -> None:
        expires = _time(claims, "exp")
        if expires is None:
            raise Unverified(
                Reason.CLAIMS, "The token has no end (`exp`): anybody who finds it could use it."
            )
        if expires <= now - self._leeway:
            raise Unverified(Reason.TOO_OLD, f"The token expired {now - expires:.0f} s ago.")
        for name in ("nbf", "iat"):
            begins = _time(claims, name)
            if begins is not None and begins > now + self._leeway:
                raise Unverified(
                    Reason.TOO_NEW, f"The token begins to be good in {begins - now:.0f} s (`{name}`)."
                )

    def _check_purpose(self, claims: Mapping[str, JSON]) -> None:
        options = self._options
        if options.issuer is not None and claims.get("iss") != options.issuer:
            raise Unverified(Reason.CLAIMS, "The token is from another issuer (`iss`).")
        if options.audience and not _holds(claims.get("aud"), options.audience):
            raise Unverified(Reason.CLAIMS, "The token is made for another audience (`aud`).")
        for name, values in options.claims:
            if not _holds(claims.get(name), values):
                raise Unverified(Reason.CLAIMS, f"The token's claim `{name}` is not what is asked for here.")


class SecretTokenCheck:
    """Tokens signed with a secret that we have too."""

    def __init__(self, options: JwtOptions, keys: Sequence[bytes], leeway: float) -> None:
        self._reader = TokenReader(options, leeway)
        self._keys = tuple(keys)

    def __call__(self, call: SignedCall, now: float) -> None:
        token = self._reader.read(call)
        shortest = _SHORTEST_SECRET[token.algorithm]
        long_enough = [key for key in self._keys if len(key) >= shortest]
        if not long_enough:
            raise Unverified(
                Reason.NO_SECRET,
                f"The secret that is set here is shorter than the {shortest} bytes that {token.algorithm} needs:"
                " whoever has a token could find it.",
            )
        self._reader.check(token, long_enough, now)


def _claims(token: Token, keys: Sequence[PyJWK | bytes]) -> Mapping[str, JSON]:
    if not any(_is_signed(token, key) for key in keys):
        raise Unverified(Reason.WRONG, "The token is not signed with a key that is right here.")
    return _mapping(token.payload, "claims")


def _is_signed(token: Token, key: PyJWK | bytes) -> bool:
    """By PyJWT's algorithms; what its `decode` checks of a key each time was checked when the key came."""
    if isinstance(key, bytes):
        return get_algorithm_by_name(token.algorithm).verify(token.signed, key, token.signature)
    return key.algorithm_name == token.algorithm and key.Algorithm.verify(
        token.signed, key.key, token.signature
    )


def _decoded(segment: bytes) -> bytes:
    """Base64url without padding, in the one spelling that there is of it."""
    try:
        content = urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except ValueError:
        content = b""
    if urlsafe_b64encode(content).rstrip(b"=") != segment:
        raise Unverified(Reason.MALFORMED, "The token is not base64url.")
    return content


def _mapping(content: bytes, what: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise Unverified(Reason.MALFORMED, f"The token's {what} cannot be read: no JSON object.")
    return value


def _time(claims: Mapping[str, JSON], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unverified(Reason.MALFORMED, f"The token's `{name}` is no time in seconds since 1970.")
    return float(value)


def _holds(claim: JSON, values: Sequence[str | int | bool]) -> bool:
    """Whether the claim is one of the values, or a list with one of them. (In Python, True is 1.)"""
    given = claim if isinstance(claim, list) else [claim]
    return any(type(one) is type(value) and one == value for one in given for value in values)
