"""What differs between two documents, field by field: pure. Nodes are matched by id, not by place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.pattern import JSON

LONGEST_VALUE = 60  # characters of a value in a change's text
_MISSING = object()


@dataclass(frozen=True, kw_only=True)
class Change:
    """One field. `path` leads to it with dots; None in `before` or `after` may also mean "not there"."""

    path: str
    before: JSON
    after: JSON
    text: str

    def as_json(self) -> dict[str, JSON]:
        return {"path": self.path, "from": self.before, "to": self.after, "text": self.text}


def compare(path: str, before: JSON, after: JSON) -> Iterator[Change]:
    """Every differing field below `path`, in the order of the keys."""
    if _same(before, after):
        return
    one, other = _fields(before), _fields(after)
    if one is None or other is None:
        yield _change(path, before, after)
        return
    yield from _moved(path, before, after)
    for key in _ordered(one, other):
        yield from compare(f"{path}.{key}" if path else key, one.get(key, _MISSING), other.get(key, _MISSING))


def _same(before: JSON, after: JSON) -> bool:
    """Equal, and of equal types: 1, 1.0 and true are three values."""
    return before is after or (before == after and _exact(before) == _exact(after))


def _exact(value: JSON) -> str:
    return json.dumps(value, sort_keys=True)


def _moved(path: str, before: JSON, after: JSON) -> Iterator[Change]:
    """The order of a list of nodes decides what runs when, so it is a change of its own."""
    if not isinstance(before, list) or not isinstance(after, list):
        return
    one, other = ([str(node["id"]) for node in nodes] for nodes in (before, after))
    was, is_ = [key for key in one if key in other], [key for key in other if key in one]
    if was != is_:
        yield _change(f"{path} (order)", ", ".join(was), ", ".join(is_))


def _ordered(before: Mapping[str, JSON], after: Mapping[str, JSON]) -> list[str]:
    return [*after, *(key for key in before if key not in after)]


def _fields(value: JSON) -> Mapping[str, JSON] | None:
    """A mapping as it is, a list of nodes by id; nothing else has fields."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) and "id" in item for item in value):
        return {str(item["id"]): item for item in value}
    return None


def _change(path: str, before: JSON, after: JSON) -> Change:
    if before is _MISSING:
        return Change(path=path, before=None, after=after, text=f"{path}: added {_text(after)}")
    if after is _MISSING:
        return Change(path=path, before=before, after=None, text=f"{path}: removed (was {_text(before)})")
    return Change(path=path, before=before, after=after, text=f"{path}: {_text(before)} → {_text(after)}")


def _text(value: JSON) -> str:
    if value is _MISSING:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
