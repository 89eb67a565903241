"""Answers that say no to a call: nothing of it was accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import orjson

from schemas.pattern import JSON
from web.problems import PREFIX


class Reason(Enum):
    """Its name (deliveries are listed by it, the problem's `type` is a URN of it), status, title."""

    UNKNOWN = ("unknown-webhook", 404, "No such webhook")
    PAUSED = ("paused", 503, "Paused")
    ARCHIVED = ("archived", 410, "Archived")
    METHOD = ("method-not-allowed", 405, "Method not allowed")
    ADDRESS = ("address-not-allowed", 403, "Not from this address")
    RATE = ("rate-limited", 429, "Too many calls")
    CUT = ("cut-off", 400, "Cut off")
    TOO_LARGE = ("too-large", 413, "Too large")
    UNSIGNED = ("not-signed", 401, "Not verified")
    SECRET = ("secret-unreadable", 503, "Try again")
    ISSUER = ("issuer-away", 503, "Try again")
    CHALLENGE = ("challenge", 200, "Challenge answered")
    ENCODING = ("unknown-encoding", 415, "This encoding is not understood")
    COMPRESSED = ("not-compressed", 400, "The body is not what its encoding says")
    NOT_JSON = ("not-json", 400, "Not JSON")
    TOO_DEEP = ("too-deep", 400, "Too deep")
    FIELDS = ("malformed-fields", 400, "Malformed fields")
    BODY = ("invalid-body", 422, "The body does not fit")
    OTHER_BODY = ("same-key-other-body", 409, "Another body under the same key")
    REPEATED = ("repeated", 202, "Came before")
    FULL = ("full", 409, "Full")
    CIRCUIT_OPEN = ("circuit-open", 503, "Circuit open")
    BUSY = ("busy", 503, "Try again")
    LOST = ("output-unreadable", 502, "The output cannot be read")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title


class Refusal(Exception):
    """`detail` says what is wrong and what to do, `problems` where in the body, each `{path, message}`."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        problems: Sequence[Mapping[str, JSON]] = (),
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.headers = headers or {}
        self.problems = problems

    @property
    def document(self) -> bytes:
        """The problem document (RFC 9457)."""
        document: dict[str, Any] = {
            "type": PREFIX + self.reason.slug,
            "title": self.reason.title,
            "status": self.reason.status,
            "detail": self.detail,
        }
        if self.problems:
            document["problems"] = list(self.problems)
        return orjson.dumps(document)


def busy(detail: str) -> Refusal:
    return Refusal(Reason.BUSY, detail, headers={"retry-after": "1"})
