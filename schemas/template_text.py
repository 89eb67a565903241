"""Where the `${{ … }}` of a text begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

OPENING: Final = "${{"

# Inside an expression, what decides where it ends: strings (with CEL's prefixes), comments and braces.
# A string whose end is missing takes the rest, so that every text is read once and in linear time.
_TOKEN: Final = re.compile(
    r"[bB]?[rR](?:'''[\s\S]*?(?:'''|\Z)|\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'[^'\n]*+'?|\"[^\"\n]*+\"?)"
    r"|'''(?:\\[\s\S]|[^\\])*?(?:'''|\Z)|\"\"\"(?:\\[\s\S]|[^\\])*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?"
    r"|//[^\n]*"
    r"|[A-Za-z_0-9]+|\{|\}\}|\}"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One `${{ … }}` of a text. `source` stands between the braces; `closed`: they end."""

    source: str
    start: int
    end: int
    closed: bool = True


def pieces(text: str) -> Iterator[Piece]:
    """All expressions of a text, in order."""
    start = text.find(OPENING)
    while start >= 0:
        inside = start + len(OPENING)
        close = _close(text, inside)
        if close is None:
            yield Piece(text[inside:], start, len(text), closed=False)
            return
        yield Piece(text[inside:close], start, close + 2)
        start = text.find(OPENING, close + 2)


def _close(text: str, at: int) -> int | None:
    """The index of the `}}` that ends the expression which begins at `at`."""
    depth = 0
    for match in _TOKEN.finditer(text, at):
        part = match[0]
        if part == "{":
            depth += 1
        elif part == "}":
            depth = max(depth - 1, 0)
        elif part == "}}":
            if depth == 0:
                return match.start()
            if depth == 1 and text.startswith("}}", match.start() + 1):
                return match.start() + 1  # of three braces, the first ends a mapping
            depth = max(depth - 2, 0)
    return None
