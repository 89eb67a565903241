"""Signatures that are one HMAC in one header: GitHub, Gitea, Shopify, Slack, and whoever does it likewise.

- GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
- Gitea: https://docs.gitea.com/usage/webhooks; Forgejo: https://forgejo.org/docs/latest/user/webhooks/
- Shopify: https://shopify.dev/docs/apps/build/webhooks/verify-deliveries
- Slack: https://docs.slack.dev/authentication/verifying-requests-from-slack
"""

from __future__ import annotations

import binascii
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from schemas.verification import BODY, TIMESTAMP, Encoding, HmacOptions
from web.verification.call import Reason, SignedCall, Unverified, only, title
from web.verification.times import any_time, check_time, time_of_fixed_width

GITHUB: Final = HmacOptions(header="x-hub-signature-256", prefix="sha256=")
SHOPIFY: Final = HmacOptions(header="x-shopify-hmac-sha256", encoding=Encoding.BASE64)
SLACK: Final = HmacOptions(
    header="x-slack-signature",
    prefix="v0=",
    timestamp_header="x-slack-request-timestamp",
    payload=f"v0:{TIMESTAMP}:{BODY}",
)
GITEA: Final = HmacOptions(header="x-gitea-signature")
FORGEJO: Final = HmacOptions(header="x-forgejo-signature")

_ENCODERS: Final[Mapping[Encoding, Callable[[bytes], bytes]]] = {
    Encoding.HEX: binascii.hexlify,
    Encoding.BASE64: lambda digest: binascii.b2a_base64(digest, newline=False),
    Encoding.BASE64URL: urlsafe_b64encode,
}


class DigestCheck:
    """`lenient` is for senders whom we do not know: hex in capitals, base64url without its padding."""

    def __init__(
        self, options: HmacOptions, keys: Sequence[bytes], tolerance: float, *, lenient: bool = False
    ) -> None:
        # Each with its key in it already: that is half of the work for a small body.
        self._macs = tuple(hmac.new(key, digestmod=options.algorithm) for key in keys)
        self._encoding = options.encoding if lenient else None
        self._encode = _ENCODERS[options.encoding]
        self._header, self._shown = options.header.encode(), title(options.header)
        self._prefix = options.prefix.encode()
        timed = options.timestamp_header is not None
        self._signed = _TimedPayload(options, tolerance) if timed else _payload(options)

    def __call__(self, call: SignedCall, now: float) -> None:
        given = only(call, self._header, self._shown)
        if not given.startswith(self._prefix):
            raise Unverified(
                Reason.MALFORMED, f"{self._shown} does not begin with {self._prefix.decode()!r}."
            )
        given = self._spelt(given[len(self._prefix) :])
        signed = self._signed(call, now)
        for keyed in self._macs:
            mac = keyed.copy()
            mac.update(signed)
            if hmac.compare_digest(given, self._encode(mac.digest())):
                return
        what = "this body" if self._signed is _body else "this body and time"
        raise Unverified(
            Reason.WRONG, f"{self._shown} is not the signature of {what} with the secret that is set here."
        )

    def _spelt(self, given: bytes) -> bytes:
        if self._encoding is Encoding.HEX:
            return given.lower()
        if self._encoding is Encoding.BASE64URL and not given.endswith(b"="):
            return given + b"=" * (-len(given) % 4)
        return given


def _payload(options: HmacOptions) -> Callable[[SignedCall, float], bytes]:
    if options.payload == BODY:
        return _body
    head, _, tail = options.payload.encode().partition(BODY.encode())
    return lambda call, _now: head + call.body + tail


def _body(call: SignedCall, _now: float) -> bytes:
    return call.body


class _TimedPayload:
    """What is signed together with a time that is near enough."""

    def __init__(self, options: HmacOptions, tolerance: float) -> None:
        assert options.timestamp_header is not None
        self._header, self._shown = options.timestamp_header.encode(), title(options.timestamp_header)
        self._tolerance = tolerance
        self._head, _, self._tail = options.payload.encode().partition(BODY.encode())
        # Where nothing parts the time from the body, three digits could go from one to the other.
        after = options.payload.partition(TIMESTAMP)[2]
        self._read = time_of_fixed_width if after.startswith(BODY) or after[:1].isdigit() else any_time

    def __call__(self, call: SignedCall, now: float) -> bytes:
        written = only(call, self._header, self._shown)
        check_time(self._read(written, self._shown), now, self._tolerance)
        head, tail = (part.replace(TIMESTAMP.encode(), written) for part in (self._head, self._tail))
        return head + call.body + tail
