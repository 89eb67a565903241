"""What CEL computes → JSON: times and durations become text, bytes become base64."""

from __future__ import annotations

import base64
import math
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.pattern import JSON


def to_json(value: Any) -> JSON:
    """The JSON of a value. Raises ValueError for what JSON cannot carry (infinity, NaN, a type)."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise ValueError(f"the result is {value}, which JSON cannot carry")
        return value
    if kind is dict:
        # CEL's mappings have no order of their own: a run must repeat exactly.
        return {_key(key): to_json(value[key]) for key in sorted(value, key=_key)}
    if kind is list:
        return [to_json(one) for one in value]
    return _special(value)


def _special(value: Any) -> JSON:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return f"{_seconds(value)}s"
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise ValueError("the result is not a value that JSON can carry")


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)


def _seconds(value: timedelta) -> str:
    micros = value // timedelta(microseconds=1)
    whole, part = divmod(abs(micros), 1_000_000)
    digits = f"{whole}.{part:06d}".rstrip("0").rstrip(".") if part else str(whole)
    return f"-{digits}" if micros < 0 else digits
