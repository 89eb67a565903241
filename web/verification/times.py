"""Whether a signed time is near enough to ours: whoever overhears a call can repeat it only for so long."""

from __future__ import annotations

import re
from datetime import datetime

from web.verification.call import Reason, Unverified

_SECONDS = re.compile(rb"[0-9]{1,11}")
_MILLISECONDS = re.compile(rb"[0-9]{13}")
_ISO = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z")


def unix_seconds(written: bytes, shown: str) -> float:
    """Raises Unverified where it is anything else than whole seconds since 1970."""
    if not _SECONDS.fullmatch(written):
        raise Unverified(Reason.MALFORMED, f"{shown} is not a time in whole seconds since 1970.")
    return float(written)


def time_of_fixed_width(written: bytes, shown: str) -> float:
    """Seconds since 1970, or 2026-11-21T09:30:00Z: of no time near ours does one spelling begin another's."""
    if _SECONDS.fullmatch(written):
        return float(written)
    try:
        if _ISO.fullmatch(written):
            return datetime.fromisoformat(written.decode()).timestamp()
    except ValueError:
        pass
    raise Unverified(
        Reason.MALFORMED, f"{shown} is not a time: neither seconds since 1970 nor like 2026-11-21T09:30:00Z."
    )


def any_time(written: bytes, shown: str) -> float:
    """As `time_of_fixed_width`, and milliseconds (13 digits)."""
    if _MILLISECONDS.fullmatch(written):
        return int(written) / 1000
    return time_of_fixed_width(written, shown)


def check_time(signed: float, now: float, tolerance: float) -> None:
    """Raises Unverified where they are more than `tolerance` seconds apart."""
    age = now - signed
    if age > tolerance:
        raise Unverified(
            Reason.TOO_OLD, f"It was signed {age:.0f} s ago; {tolerance:g} s are allowed: send it anew."
        )
    if -age > tolerance:
        raise Unverified(
            Reason.TOO_NEW, f"It was signed {-age:.0f} s in the future; {tolerance:g} s are allowed."
        )
