"""Which secrets a pattern names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from schemas.pattern import JSON
from schemas.template_text import pieces

_NAMED: Final = re.compile(r"\bsecrets\.([A-Za-z_][A-Za-z0-9_]{0,99})")


def secrets_of_pattern(spec: Mapping[str, JSON]) -> frozenset[str]:
    """The names of all secrets that the expressions of a pattern read; connections have theirs besides."""
    return frozenset(_named(spec.get("nodes")))


def _named(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        for piece in pieces(value):
            yield from _NAMED.findall(piece.source)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _named(one)
    elif isinstance(value, list):
        for one in value:
            yield from _named(one)
