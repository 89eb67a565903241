"""Calls that carry the secret itself.

A bearer token (RFC 6750), a token alone in a header, or user and password (RFC 7617).
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import Final

from web.verification.call import Reason, SignedCall, Unverified, only, secret_bytes, title

AUTHORIZATION: Final = "authorization"


class TokenCheck:
    """`header` None: `Authorization: Bearer …`."""

    def __init__(self, header: str | None, secrets: Sequence[str]) -> None:
        self._carrier = TokenCarrier(header)
        self._secrets = [secret_bytes(secret) for secret in secrets]

    def __call__(self, call: SignedCall, _now: float) -> None:
        _check_one_of(self._secrets, self._carrier.token(call), f"The token in {self._carrier.shown}")


class BasicCheck:
    """The secrets are passwords of `user`."""

    def __init__(self, user: str, secrets: Sequence[str]) -> None:
        self._right = [b64encode(secret_bytes(f"{user}:{secret}")) for secret in secrets]

    def __call__(self, call: SignedCall, _now: float) -> None:
        given = _behind(b"basic", only(call, AUTHORIZATION.encode(), "Authorization"))
        _check_one_of(self._right, given, "User or password in Authorization")


class TokenCarrier:
    """Where a token is: alone in a header, or behind `Bearer` in `Authorization`."""

    def __init__(self, header: str | None) -> None:
        self._header = (header or AUTHORIZATION).encode()
        self._alone = header not in (None, AUTHORIZATION)
        self.shown = title(header or AUTHORIZATION)

    def token(self, call: SignedCall) -> bytes:
        """Raises Unverified where there is none, or where there are several."""
        value = only(call, self._header, self.shown)
        return value if self._alone else _behind(b"bearer", value)


def _behind(scheme: bytes, value: bytes) -> bytes:
    """What follows the scheme, whose case does not matter (RFC 9110, section 11.1)."""
    given, _, rest = value.partition(b" ")
    if given.lower() != scheme:
        wanted = scheme.decode().capitalize()
        raise Unverified(Reason.MALFORMED, f"Authorization does not begin with {wanted} and a space.")
    return rest


def _check_one_of(right: Sequence[bytes], given: bytes, what: str) -> None:
    if not any(hmac.compare_digest(given, one) for one in right):
        raise Unverified(Reason.WRONG, f"{what} is not the one that is set here.")
