"""Durations (`500ms`, `10s`, `5m`, `1h`, `30d`) and sizes (`1MiB`, `1MB`) as people write them."""

from __future__ import annotations

import re
from typing import Final

_DURATION: Final = re.compile(r"([0-9]{1,10})(ms|s|m|h|d)")
_SIZE: Final = re.compile(r"([0-9]{1,12})(B|kB|KB|MB|GB|KiB|MiB|GiB)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES: Final = {
    "B": 1,
    "kB": 1000,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
LONGEST: Final = 10 * 365 * 86400.0
"""The longest duration, in seconds: ten years, so that no date overflows anywhere."""


def seconds(text: str) -> float:
    """The seconds in a duration. Raises ValueError, with what would be right, for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration: write a number and ms, s, m, h or d, such as 500ms or 5m"
        )
    count, unit = int(match[1]), match[2]
    value = count / 1000 if unit == "ms" else count * _SECONDS[unit]
    if value > LONGEST:
        raise ValueError(f"{text!r} is longer than ten years (3650d)")
    return value


def size_in_bytes(text: str) -> int:
    """The bytes in a size: KiB, MiB, GiB count by 1024, kB, MB, GB by 1000. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a size: write a number and B, kB, MB, GB, KiB, MiB or GiB, such as 1MiB"
        )
    return int(match[1]) * _BYTES[match[2]]
