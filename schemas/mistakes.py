"""One mistake in a document's tree, before it has a line and a column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from schemas.positions import Positions
from schemas.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Spot:
    """A place inside a text: (`line`, `column`) of `source`, its nth expression."""

    source: str
    nth: int
    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """One mistake at one place of a document. `at_key`: the key is wrong, not its value."""

    path: tuple[str | int, ...]
    at_key: bool = False
    spot: Spot | None = None
    code: str
    message: str
    hint: str


def located(path: str, positions: Positions, mistake: Mistake) -> Problem:
    """The mistake as a problem of the file at `path`."""
    if mistake.spot is not None:
        spot = mistake.spot
        line, column = positions.inside(mistake.path, spot.source, spot.nth, (spot.line, spot.column))
    else:
        line, column = (positions.key_at if mistake.at_key else positions.value_at)(mistake.path)
    return Problem(
        path=path, line=line, column=column, code=mistake.code, message=mistake.message, hint=mistake.hint
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known word, or else what is known."""
    words = sorted(known)
    near = get_close_matches(word, words, n=1)
    if near:
        return f'Did you mean "{near[0]}"?'
    if not words:
        return "Nothing is known here."
    shown = ", ".join(words[:20])
    return f"Known here: {shown}{' and more' if len(words) > 20 else ''}."
