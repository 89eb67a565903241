"""What a database gives, as JSON."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from schemas.pattern import JSON

_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def as_json(value: Any) -> JSON:
    """Numbers that fit exactly stay numbers, others become text; times are RFC 3339, bytes Base64.

    A time without a zone has none; a duration is seconds. Lists and mappings (of arrays and JSON columns) stay.
    """
    match value:
        case None | str() | bool():
            return value
        case int():
            return value if _SMALLEST <= value <= _LARGEST else str(value)
        case float():
            return value if math.isfinite(value) else str(Decimal(value))
        case Decimal():
            return _number(value)
        case datetime():
            return _instant(value)
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode("ascii")
        case dict():
            return {str(key): as_json(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [as_json(one) for one in value]
    return str(value)


def rows_as_json(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[JSON]:
    return [dict(zip(columns, map(as_json, row), strict=True)) for row in rows]


def _number(value: Decimal) -> JSON:
    if not value.is_finite():
        return str(value)
    if value.as_tuple().exponent == 0:
        return as_json(int(value))
    number = float(value)
    return number if math.isfinite(number) and Decimal(repr(number)) == value else str(value)


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat()
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
