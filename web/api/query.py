"""Query parameters: each is known, given once, and right; else all that is wrong is said at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from schemas.mistakes import did_you_mean
from schemas.quantities import seconds
from store.run_reads import is_run_id
from web.problems import Kind, Refusal

Parser = Callable[[str], Any]
"""Gives the value, or raises ValueError saying what would be right."""

MOST = 200
"""Items of one page."""

DEFAULT_LIMIT = 50
LONGEST_WAIT = 300.0  # seconds
LONGEST_PATH = 20_000  # characters of a path of a node
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_BIGGEST = 2_147_483_647


def read_query(given: Iterable[tuple[str, str]], parsers: Mapping[str, Parser]) -> dict[str, Any]:
    """Every parameter of `parsers`, None where it is not given. Raises Refusal."""
    values: dict[str, Any] = dict.fromkeys(parsers)
    problems: list[dict[str, str]] = []
    seen: set[str] = set()
    for name, text in given:
        if name not in parsers:
            message = f"there is no such parameter here. {did_you_mean(name, sorted(parsers))}"
            problems.append({"path": name, "message": message})
        elif name in seen:
            problems.append({"path": name, "message": "it is given twice"})
        else:
            try:
                values[name] = parsers[name](text)
            except ValueError as error:
                problems.append({"path": name, "message": str(error)})
        seen.add(name)
    if problems:
        raise wrong("query parameters", problems)
    return values


def wrong(place: str, problems: list[dict[str, str]]) -> Refusal:
    said = "; ".join(": ".join(filter(None, (one["path"], one["message"]))) for one in problems)
    ended = said if said.endswith("?") else f"{said.rstrip('.')}."
    return Refusal(Kind.INVALID, f"The {place} are not right: {ended}", problems=problems)


def label(text: str) -> str:
    """A name: a DNS label."""
    if not is_label(text):
        raise ValueError("a name has lower-case letters, digits and hyphens, at most 63")
    return text


def is_label(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None


def words(text: str) -> str:
    if not 1 <= len(text) <= 200 or "\0" in text:
        raise ValueError("it takes 1 to 200 characters")
    return text


def node_path(text: str) -> str:
    """The path of a node in a run: ids may be long, and stand in each other."""
    if not 1 <= len(text) <= LONGEST_PATH or "\0" in text:
        raise ValueError(f"it takes 1 to {LONGEST_PATH:,} characters")
    return text


def revision(text: str) -> str:
    """A branch, a tag, a commit."""
    if not re.fullmatch(r"[!-~]{1,255}", text) or text.startswith("-"):
        raise ValueError("it takes a branch, a tag or a commit")
    return text


def one_of(known: Iterable[str]) -> Parser:
    choices = list(known)

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"it takes one of {', '.join(choices)}")
        return text

    return parse


def number(least: int, most: int = _BIGGEST) -> Parser:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
            raise ValueError(f"it takes a number from {least} to {most}")
        return int(text)

    return parse


limit = number(1, MOST)


def run_id(text: str) -> str:
    lower = text.lower()
    if not is_run_id(lower):
        raise ValueError("it takes the id of a run, a UUID such as 0199d3a4-5c1e-7c3a-9f60-3d1f3a2b4c5d")
    return lower


def instant(text: str) -> datetime:
    at = _aware(text)
    if at is None:
        hint = " (a + is written %2B in a URL)" if " " in text else ""
        raise ValueError(f"it takes an RFC 3339 time such as 2026-03-01T09:30:00Z{hint}")
    return at


def _aware(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return None if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("it takes true or false")
    return text == "true"


def wait(text: str) -> float:
    try:
        asked = seconds(text)
    except ValueError:
        raise ValueError("it takes a duration such as 30s") from None
    if not 0 < asked <= LONGEST_WAIT:
        raise ValueError(f"it takes at most {LONGEST_WAIT:.0f}s")
    return asked
