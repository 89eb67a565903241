"""Slack asks a new address whether it is its owner's: https://docs.slack.dev/reference/events/url_verification"""

from __future__ import annotations

import orjson

_TYPE = b"url_verification"
_LONGEST = 16 * 1024  # bytes; such a body has some two hundred


def url_verification(body: bytes) -> str | None:
    """What to answer, as plain text, to a body of that type whose signature was found right; None for others."""
    if _TYPE not in body or len(body) > _LONGEST:
        return None
    try:
        event = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict) or event.get("type") != _TYPE.decode():
        return None
    challenge = event.get("challenge")
    return challenge if isinstance(challenge, str) else None
