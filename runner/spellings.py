"""The ways in which a secret may come back: encoded, quoted, in pieces."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

SHORTEST: Final = 4
"""Characters. What is shorter stands in many words."""

SHORTEST_LINE: Final = 8
"""Characters of a line, of a secret that has several, that is a secret by itself."""

MOST_LINES: Final = 2_000

_WRAPPED: Final = (64, 76)
"""Columns at which programs wrap Base64 (RFC 7468, RFC 2045)."""


_SMALL: Final = 4_096
"""Characters of a secret as most are: the spellings of many such are remembered."""


def spellings(secret: str) -> frozenset[str]:
    """All of four characters or more. Empty where the secret itself has fewer."""
    return _of_small(secret) if len(secret) <= _SMALL else _of_large(secret)


def _made(secret: str) -> frozenset[str]:
    stripped = secret.strip()
    found = {*_of_text(secret), *_of_text(stripped), *_of_lines(stripped)}
    return frozenset(one for one in found if len(one) >= SHORTEST) if len(secret) >= SHORTEST else frozenset()


_of_small: Final = lru_cache(maxsize=512)(_made)
_of_large: Final = lru_cache(maxsize=8)(_made)


def _of_text(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", "surrogatepass")
    yield from _quoted(text)
    yield text.lower()  # a host, a header's name
    yield raw.decode("latin-1")  # as headers are read
    yield raw.hex()
    yield raw.hex().upper()
    yield from _in_base64(raw)


def _quoted(text: str) -> Iterator[str]:
    yield text
    raw = text.encode("utf-8", "surrogatepass")
    for made in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield made
        yield _lower_escapes(made)
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield repr(text)[1:-1]
    yield text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    yield text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def _lower_escapes(text: str) -> str:
    first, *rest = text.split("%")
    return first + "".join(f"%{one[:2].lower()}{one[2:]}" for one in rest)


def _in_base64(raw: bytes) -> Iterator[str]:
    """Wherever it begins within what is encoded: at a group of three bytes, or one or two behind."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for before in range(3):
            text = encode(b"\0" * before + raw).decode()
            inside = text[(0, 2, 3)[before] :].rstrip("=")
            yield inside
            yield text[(0, 2, 3)[before] :]
            yield inside if (before + len(raw)) % 3 == 0 else inside[:-1]
        whole = encode(raw).decode()
        for width in _WRAPPED:
            if len(whole) > width:
                yield from (whole[at : at + width] for at in range(0, len(whole), width))


def _of_lines(text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > 1:
        for line in {one.strip() for one in lines[:MOST_LINES]}:
            if len(line) >= SHORTEST_LINE:
                yield from _quoted(line)
