"""Standard Webhooks, symmetric (`v1`, a secret `whsec_…`) and asymmetric (`v1a`, a public key `whpk_…`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. GitLab's signing tokens
sign so too: https://docs.gitlab.com/user/project/integrations/webhooks/#signing-tokens
"""

from __future__ import annotations

import base64
import binascii
import hmac
import importlib
from collections.abc import Callable, Sequence
from typing import Final, cast

from web.verification.call import MOST_SIGNATURES, Reason, SignedCall, Unverified, only
from web.verification.times import check_time, unix_seconds

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  (what one begins with)
PUBLIC_PREFIX: Final = "whpk_"

_IsRight = Callable[[Sequence[bytes], bytes], bool]
"""Whether one of the signatures in the header is that of the signed bytes."""


class StandardCheck:
    """`secrets` as the sender shows them; of those that cannot be read none is right."""

    def __init__(self, secrets: Sequence[str], tolerance: float) -> None:
        self._tolerance = tolerance
        self._rights = [right for secret in secrets if (right := _right(secret)) is not None]

    def __call__(self, call: SignedCall, now: float) -> None:
        if not self._rights:
            raise Unverified(
                Reason.NO_SECRET,
                "The secret that is set here is none of Standard Webhooks: whsec_… in base64.",
            )
        identity = only(call, b"webhook-id", "webhook-id")
        timestamp = only(call, b"webhook-timestamp", "webhook-timestamp")
        given = only(call, b"webhook-signature", "webhook-signature").split(b" ")
        if len(given) > MOST_SIGNATURES:
            raise Unverified(Reason.MALFORMED, f"There are more than {MOST_SIGNATURES} signatures.")
        if not identity or b"." in identity:
            # With a dot in it, the end of an id and the beginning of a time could be taken for each other.
            raise Unverified(Reason.MALFORMED, "webhook-id is empty or has a dot.")
        check_time(unix_seconds(timestamp, "webhook-timestamp"), now, self._tolerance)
        signed = b"%b.%b.%b" % (identity, timestamp, call.body)
        if not any(right(given, signed) for right in self._rights):
            raise Unverified(
                Reason.WRONG,
                "No webhook-signature is that of this id, time and body with the secret that is set here.",
            )


def _right(secret: str) -> _IsRight | None:
    public = secret.startswith(PUBLIC_PREFIX)
    encoded = secret.removeprefix(PUBLIC_PREFIX if public else SECRET_PREFIX)
    try:
        key = base64.b64decode(encoded, validate=True)
        if public:
            return cast(_IsRight, importlib.import_module("web.verification.edwards").EdwardsKey(key))
    except ValueError:  # binascii.Error is one
        return None
    return _symmetric(key) if key else None


def _symmetric(key: bytes) -> _IsRight:
    def right(given: Sequence[bytes], signed: bytes) -> bool:
        expected = b"v1," + binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False)
        return any(hmac.compare_digest(one, expected) for one in given)

    return right
