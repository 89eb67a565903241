"""Durations (`500ms`, `10s`, `5m`, `1h`, `30d`) and sizes (`1MiB`, `1MB`) as people write them."""

from __future__ import annotations

import re
from typing import Final

# The digits are limited so that no duration passes some thirty years, and no date overflows anywhere.
_DURATION: Final = re.compile(
    r"([0-9]{1,11})(ms)|([0-9]{1,8})(s)|([0-9]{1,6})(m)|([0-9]{1,5})(h)|([0-9]{1,4})(d)"
)
_SIZE: Final = re.compile(r"([0-9]{1,12})(B|kB|KB|MB|GB|KiB|MiB|GiB)")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
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


def seconds(text: str) -> float:
    """The seconds in a duration. Raises ValueError, with what would be right, for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a duration: write a number and ms, s, m, h or d, such as 500ms or 5m"
        )
    count, unit = (group for group in match.groups() if group is not None)
    return int(count) / 1000 if unit == "ms" else int(count) * _SECONDS[unit]


def duration(length: float) -> str:
    """Seconds as people write them, in the largest unit that fits without a rest: 3600 is 1h, 90 is 90s."""
    milliseconds = round(length * 1000)
    for unit, size in reversed(_SECONDS.items()):
        if milliseconds and milliseconds % (size * 1000) == 0:
            return f"{milliseconds // (size * 1000):.0f}{unit}"
    return f"{milliseconds}ms"


def size_in_bytes(text: str) -> int:
    """The bytes in a size: KiB, MiB, GiB count by 1024, kB, MB, GB by 1000. Raises ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a size: write a number and B, kB, MB, GB, KiB, MiB or GiB, such as 1MiB"
        )
    return int(match[1]) * _BYTES[match[2]]
