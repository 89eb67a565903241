"""Headers, queries and forms as mappings: a text, or a list of texts where a name came more than once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import parse_qsl

from web.hooks.refusal import Reason, Refusal

MAX_FIELDS: Final = 1000

Fields = dict[str, str | list[str]]

RawHeaders = Iterable[tuple[bytes, bytes]]

CREDENTIALS: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie"})
"""Headers that no run gets to see."""


def fields(query: bytes) -> Fields:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError):
        detail = f"Fields are URL-encoded UTF-8, at most {MAX_FIELDS} of them."
        raise Refusal(Reason.FIELDS, detail) from None
    return gathered(pairs)


def headers(raw: RawHeaders, hidden: frozenset[bytes] = CREDENTIALS) -> dict[str, Any]:
    """Without those that are `hidden`. Names are in lower case already."""
    kept = [(name, value) for name, value in raw if name not in hidden]
    found: dict[str, Any] = {name.decode("latin-1"): value.decode("latin-1") for name, value in kept}
    if len(found) == len(kept):
        return found
    return gathered((name.decode("latin-1"), value.decode("latin-1")) for name, value in kept)


def first(value: str | list[str] | None) -> str:
    """Of a header that should come once."""
    if value is None:
        return ""
    return value if isinstance(value, str) else value[0]


def gathered(pairs: Iterable[tuple[str, str]]) -> Fields:
    """By name."""
    gathered: Fields = {}
    for name, value in pairs:
        known = gathered.get(name)
        if known is None:
            gathered[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            gathered[name] = [known, value]
    return gathered
