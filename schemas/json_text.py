"""JSON as text, as rows and messages hold it."""

from __future__ import annotations

import orjson

from schemas.pattern import JSON


def dump(value: JSON) -> str:
    return orjson.dumps(value).decode()
