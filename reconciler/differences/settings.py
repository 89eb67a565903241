"""What differs between two specs of a deployment, but its schedules: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from reconciler.differences.fields import (
    MISSING,
    Change,
    Field,
    fields,
    known,
    transition,
    value_text,
    verdict,
)
from schemas.pattern import JSON

DEFAULTS: Final[Mapping[str, str]] = {"state": "active", "environment": "production"}
OVERRIDES: Final = ("timeout", "retry")
"""What a deployment may set in its pattern's place."""

_FIRST = ("pattern", "source", "state", "environment", *OVERRIDES, "variables")
_ELSEWHERE = ("schedules",)


def settings_changes(before: Mapping[str, JSON] | None, after: Mapping[str, JSON]) -> Iterator[Change]:
    """`before` None: it was not deployed, and what it says beyond its pattern is told."""
    keys = [key for key in _FIRST if key in after or (before and key in before)]
    keys += sorted({*after, *(before or {})} - {*_FIRST, *_ELSEWHERE})
    for key in keys:
        yield from _created(key, after[key]) if before is None else _changed(key, before, after)


def _created(key: str, value: JSON) -> Iterator[Change]:
    if key == "variables":
        for name, each in value.items():
            yield _change(f"variables.{name}", MISSING, each, f"variable {name} set here: {value_text(each)}")
    else:
        yield _change(key, MISSING, value, f"{key}: {_TEXTS.get(key, value_text)(value)}")


def _changed(key: str, before: Mapping[str, JSON], after: Mapping[str, JSON]) -> Iterator[Change]:
    default = {} if key == "variables" else DEFAULTS.get(key, MISSING)
    one, other = before.get(key, default), after.get(key, default)
    if key == "source":
        if one != other:
            yield _change(key, one, other, f"source: {source_text(one)} → {source_text(other)}")
    elif key in _TEXTS and MISSING in (one, other):
        verb, value = ("added", other) if one is MISSING else ("removed", one)
        yield _change(key, one, other, f"{key} {verb}: {_TEXTS[key](value)}")
    elif key == "variables" or key in OVERRIDES:
        yield from _overriding(key, one, other)
    else:
        for field in fields(one, other, key):
            yield field.told("deployment", "")


def _overriding(key: str, before: JSON, after: JSON) -> Iterator[Change]:
    if isinstance(before, dict) or isinstance(after, dict):
        before, after = ({} if side is MISSING else side for side in (before, after))
    for field in fields(before, after):
        path = ".".join(filter(None, (key, field.path)))
        named = f"variable {field.path}" if key == "variables" else path
        yield _change(path, field.before, field.after, _own(named, field))


def _own(named: str, field: Field) -> str:
    if field.before is MISSING:
        return f"{named} set here: {value_text(field.after)}"
    if field.after is MISSING:
        return f"{named} no longer set here (was {value_text(field.before)})"
    return f"{named}: {transition(field.before, field.after)}"


def _change(path: str, before: JSON, after: JSON, text: str) -> Change:
    return Change(path=f"deployment.{path}", before=known(before), after=known(after), text=text)


def source_text(source: JSON) -> str:
    """`version 7`, `tag shop/production`, `the default branch`."""
    if source is MISSING or not source:
        return "the default branch"
    return ", ".join(f"{kind} {value_text(value)}" for kind, value in source.items())


def limit_text(concurrency: JSON) -> str:
    """`2 at once for each ${{ trigger.body.customer }}, then queue`."""
    key = f" for each {concurrency['key']}" if "key" in concurrency else ""
    return f"{concurrency['limit']} at once{key}, then {concurrency.get('whenFull', 'queue')}"


def breaker_text(breaker: JSON) -> str:
    """`open after 5 bad ends within 10m, for 5m`."""
    cooldown = breaker.get("cooldown", "5m")
    return f"open after {breaker['failures']} bad ends within {breaker['within']}, for {cooldown}"


_TEXTS: Final[Mapping[str, Callable[[JSON], str]]] = {
    "source": source_text,
    "concurrency": limit_text,
    "circuitBreaker": breaker_text,
}
"""What is said of a value instead of the value."""


def default_changes(
    before: Mapping[str, JSON], after: Mapping[str, JSON], own: Mapping[str, JSON]
) -> Iterator[Change]:
    """Two specs of a pattern, but its nodes and triggers. `own` is the deployment's spec, which may override."""
    rest = sorted({*before, *after} - {"on", "nodes", "variables", *OVERRIDES})
    for key in ("variables", *OVERRIDES, *rest):
        empty = {} if key in ("variables", "retry") else MISSING
        for field in fields(before.get(key, empty), after.get(key, empty)):
            path = ".".join(filter(None, (key, field.path)))
            named = f"variable {field.path}" if key == "variables" else path
            text = f"{verdict(named, field.before, field.after)}{_note(key, field.path, own)}"
            yield Change(path=path, before=known(field.before), after=known(field.after), text=text)


def _note(key: str, path: str, own: Mapping[str, JSON]) -> str:
    if key == "variables":
        return " (this deployment sets its own)" if path.split(".")[0] in own.get(key, {}) else ""
    return " (this deployment has its own)" if key in OVERRIDES and key in own else ""
