"""Ids that sort by time."""

from __future__ import annotations

import os
import time

_VERSION_7 = 0x7 << 76
_VARIANT = 0x2 << 62
_RANDOM_BITS = (1 << 62) - 1


def first_id(seconds: float) -> str:
    """No id that was made after that time (seconds since the epoch) sorts before this one."""
    text = f"{max(int(seconds * 1000), 0) << 80:032x}"
    return _hyphened(text)


def new_id() -> str:
    """A UUIDv7 as text (RFC 9562, section 5.7; `rand_a` holds the sub-millisecond part, method 3)."""
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    fraction = (nanoseconds << 12) // 1_000_000
    value = milliseconds << 80 | _VERSION_7 | fraction << 64 | _VARIANT
    value |= int.from_bytes(os.urandom(8), "big") & _RANDOM_BITS
    return _hyphened(f"{value:032x}")


def _hyphened(text: str) -> str:
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
