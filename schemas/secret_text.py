"""What a secret may be called, for which environments, and what its value may be."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
ENVIRONMENT: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
LARGEST: Final = 64 * 1024
"""Bytes of a value."""


def without_newline(text: str) -> str:
    """Less the one line end that editors and `echo` put at the end of what they write."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
