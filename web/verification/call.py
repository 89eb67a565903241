"""What of a call is verified, and why it may not be believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple


class SignedCall(NamedTuple):
    """A call as it came: header names in lower case, values and body as raw bytes, the body still compressed.

    `urls` are those under which the sender may have called, with path and query as they came: by the public URL,
    and as the request itself has it. Only some providers sign them (`Verifier.signs_url`).
    """

    method: str
    urls: Sequence[str]
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes


MOST_SIGNATURES: Final = 16
"""In one header: two while a secret changes, and some more for senders that go on sending old ones."""


class Reason(StrEnum):
    """Why a call is not verified. They are kept with deliveries: do not rename."""

    NO_SECRET = "no-secret"  # noqa: S105  # we have none, or none that could be right
    MISSING = "missing"  # it is not signed, or carries no credentials
    REPEATED = "repeated"  # a header that decides came more than once
    MALFORMED = "malformed"
    WRONG = "wrong"  # another secret, or another call
    TOO_OLD = "too-old"
    TOO_NEW = "too-new"
    UNKNOWN_KEY = "unknown-key"  # the issuer has no such key
    NO_KEYS = "no-keys"  # the issuer does not answer: nobody can say
    CLAIMS = "claims"  # a good token, for another purpose


class Unverified(Exception):
    """The call is not verified. `detail` is a sentence for people, with nothing of a secret in it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


Check = Callable[[SignedCall, float], None]
"""Judges a call at a Unix time. Raises Unverified."""


def only(call: SignedCall, name: bytes, shown: str) -> bytes:
    """The value of the header `name`; twice the same header is a way to have two parsers read two things."""
    found = [value for header, value in call.headers if header == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise Unverified(Reason.REPEATED, f"The header {shown} came {len(found)} times.")
    raise Unverified(Reason.MISSING, f"The header {shown} is missing.")


def title(header: str) -> str:
    """A header's name as people write it: X-Hub-Signature-256."""
    return "-".join(part.capitalize() for part in header.split("-"))


def secret_bytes(secret: str) -> bytes:
    """UTF-8; bytes of an environment variable that are none come back as they were."""
    return secret.encode("utf-8", "surrogateescape")
