"""Values → JSON, as the API writes them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response

from schemas.pattern import JSON


@dataclass(frozen=True, slots=True)
class Stored:
    """JSON text from the database, which goes out as it is."""

    text: str


class Answer(Response):
    """A JSON answer."""

    media_type = "application/json"

    def render(self, content: JSON) -> bytes:
        return encoded(content)


def encoded(content: JSON) -> bytes:
    """JSON text."""
    try:
        return orjson.dumps(content, default=_as_it_is, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError:
        # A plan quotes documents, which may hold what orjson does not write: integers beyond 64 bits.
        return json.dumps(content, default=_parsed).encode()


def _as_it_is(value: Any) -> JSON:
    if isinstance(value, Stored):
        return orjson.Fragment(value.text)
    raise TypeError(type(value))


def _parsed(value: Any) -> JSON:
    if isinstance(value, Stored):
        return json.loads(value.text)
    raise TypeError(type(value))


def stored(text: str | None) -> Stored | None:
    return None if text is None else Stored(text)


def rfc3339(at: datetime | None) -> str | None:
    """In UTC, to the millisecond."""
    if at is None:
        return None
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(since: datetime | None, until: datetime | None) -> float | None:
    """A duration, to the microsecond."""
    if since is None or until is None:
        return None
    return round((until - since).total_seconds() * 1000, 3)


def without_none(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
