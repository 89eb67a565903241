"""What differs between two values, field by field, and how it is said: pure."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from schemas.pattern import JSON

LONGEST_VALUE: Final = 60  # characters of a value in a change's text
MISSING: Final = object()

_NOT_TEXT = re.compile(r"|true|false|null|-?\d+(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field. `path` leads to it with dots; None in `before` or `after` may also mean "not there"."""

    path: str
    before: JSON
    after: JSON
    text: str

    def as_json(self) -> dict[str, JSON]:
        return {"path": self.path, "from": self.before, "to": self.after, "text": self.text}


@dataclass(frozen=True, kw_only=True)
class Field:
    """A differing field below some place; `before` or `after` is MISSING where it is not there."""

    path: str
    before: JSON
    after: JSON

    def told(self, place: str, subject: str, note: str = "") -> Change:
        """The change, in words: `subject` names what the field belongs to (empty: the field speaks for itself)."""
        path = ".".join(filter(None, (place, self.path)))
        named = ": ".join(filter(None, (subject, self.path)))
        text = f"{verdict(named, self.before, self.after)}{note}"
        return Change(path=path, before=known(self.before), after=known(self.after), text=text)


def fields(before: JSON, after: JSON, path: str = "") -> Iterator[Field]:
    """Every differing field, in the order of the keys. Lists of mappings that are as long go item by item."""
    if same(before, after):
        return
    one, other = _parts(before), _parts(after)
    if one is None or other is None or (isinstance(before, list) and len(one) != len(other)):
        yield Field(path=path, before=before, after=after)
        return
    for key in [*other, *(key for key in one if key not in other)]:
        inner = f"{path}.{key}" if path else key
        yield from fields(one.get(key, MISSING), other.get(key, MISSING), inner)


def same(before: JSON, after: JSON) -> bool:
    """Equal, and of equal types: 1, 1.0 and true are three values."""
    return before is after or (before == after and _exact(before) == _exact(after))


def known(value: JSON) -> JSON:
    return None if value is MISSING else value


def value_text(value: JSON) -> str:
    """One line of at most LONGEST_VALUE characters; text that looks like another type is quoted."""
    text = _bare(value) if isinstance(value, str) else _safe(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _bare(text: str) -> str:
    if text.isprintable() and text == text.strip() and not _NOT_TEXT.fullmatch(text):
        return text
    return _safe(json.dumps(text, ensure_ascii=False))


def _safe(text: str) -> str:
    """JSON without anything that moves a cursor, ends a line or turns the direction of reading."""
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def verdict(named: str, before: JSON, after: JSON) -> str:
    if before is MISSING:
        return f"{named} added: {value_text(after)}"
    if after is MISSING:
        return f"{named} removed (was {value_text(before)})"
    return f"{named}: {transition(before, after)}"


def transition(before: JSON, after: JSON) -> str:
    """`a → b`; of texts with many lines how many come and go, of long ones the part that differs."""
    if isinstance(before, str) and isinstance(after, str):
        if "\n" in before.rstrip("\n") or "\n" in after.rstrip("\n"):
            return _lines(before, after)
        before, after = _window(before, after)
    return f"{value_text(before)} → {value_text(after)}"


def _lines(before: str, after: str) -> str:
    one, other = Counter(before.splitlines()), Counter(after.splitlines())
    come, gone = (other - one).total(), (one - other).total()
    if not come and not gone:
        return "the same lines in another order"
    return f"{_count(come)} added, {gone} removed"


def _count(lines: int) -> str:
    return f"{lines} line" if lines == 1 else f"{lines} lines"


def _window(before: str, after: str) -> tuple[str, str]:
    """Two long texts that begin alike, from shortly before they part: else their ends would hide it."""
    if max(len(before), len(after)) <= LONGEST_VALUE:
        return before, after
    part = next((n for n, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), -1)
    part = min(len(before), len(after)) if part < 0 else part
    start = part - LONGEST_VALUE // 4
    return (before, after) if start <= 0 else (f"…{before[start:]}", f"…{after[start:]}")


def _exact(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)


def _parts(value: JSON) -> Mapping[str, JSON] | None:
    """A mapping as it is, a list of mappings by place; nothing else has fields."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(place): item for place, item in enumerate(value)}
    return None
