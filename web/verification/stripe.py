"""Stripe: `t=` and any number of `v1=` in one header, over the time, a dot and the body.

https://docs.stripe.com/webhooks#verify-manually. Other schemes than v1 (`v0` is a fake one of test
events) are left out, as it asks, so that nobody can choose a weaker one.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from web.verification.call import MOST_SIGNATURES, Reason, SignedCall, Unverified, only
from web.verification.times import check_time, unix_seconds

_HEADER: Final = b"stripe-signature"
_SHOWN: Final = "Stripe-Signature"


class StripeCheck:
    def __init__(self, keys: Sequence[bytes], tolerance: float) -> None:
        self._keys = tuple(keys)
        self._tolerance = tolerance

    def __call__(self, call: SignedCall, now: float) -> None:
        timestamp, given = _parts(only(call, _HEADER, _SHOWN))
        check_time(unix_seconds(timestamp, f"t in {_SHOWN}"), now, self._tolerance)
        signed = b"%b.%b" % (timestamp, call.body)
        for key in self._keys:
            expected = hmac.digest(key, signed, "sha256").hex().encode()
            if any(hmac.compare_digest(one, expected) for one in given):
                return
        raise Unverified(
            Reason.WRONG, f"No v1 in {_SHOWN} is that of this body and time with the secret that is set here."
        )


def _parts(header: bytes) -> tuple[bytes, list[bytes]]:
    """The time, and the signatures of version 1: two while Stripe's own secret changes."""
    pairs = [item.partition(b"=")[::2] for item in header.split(b",")]
    times = [value for name, value in pairs if name == b"t"]
    given = [value for name, value in pairs if name == b"v1"]
    if len(times) != 1:
        raise Unverified(Reason.MALFORMED, f"{_SHOWN} has not one time, t=…, but {len(times)}.")
    if len(given) > MOST_SIGNATURES:
        raise Unverified(Reason.MALFORMED, f"{_SHOWN} has more than {MOST_SIGNATURES} signatures.")
    if not given:
        raise Unverified(Reason.MISSING, f"{_SHOWN} has no signature v1=….")
    return times[0], given
