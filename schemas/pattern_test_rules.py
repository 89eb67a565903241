"""What must hold within one test of a pattern beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from schemas.mistakes import Mistake, did_you_mean
from schemas.naming import FIELDS
from schemas.outline import Path
from schemas.pattern import JSON
from schemas.pattern_test import instant
from schemas.stubs import stub_mistakes

TRIGGERS: Final = ("webhook", "schedule", "call", "manual", "api", "chat", "error", "replay")
"""What may start a run."""


def pattern_test_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a test's `spec`, whatever shape it has."""
    listed = spec.get("cases")
    names: set[str] = set()
    for at, case in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(case, dict):
            path = ("spec", "cases", at)
            yield from _name(case.get("name"), names, (*path, "name"))
            yield from trigger_mistakes(case.get("trigger"), (*path, "trigger"))
            yield from _now(case.get("now"), (*path, "now"))
            stubs = case.get("stubs")
            for node, stub in stubs.items() if isinstance(stubs, dict) else ():
                yield from stub_mistakes(stub, (*path, "stubs", node))


def _name(name: JSON, names: set[str], path: Path) -> Iterator[Mistake]:
    if isinstance(name, str) and name in names:
        message = f"there is another case called {name!r:.100} in this test"
        yield Mistake(
            path=path, code="duplicate-case", message=message, hint="Give one of them another name."
        )
    elif isinstance(name, str):
        names.add(name)


def trigger_mistakes(trigger: JSON, path: Path) -> Iterator[Mistake]:
    """Of what a run is said to start with."""
    known = FIELDS["trigger"]
    for key in trigger if isinstance(trigger, dict) else ():
        if key not in known:
            message, hint = f'unknown key "{key:.80}"', did_you_mean(key, known)
            yield Mistake(path=(*path, key), at_key=True, code="unknown-key", message=message, hint=hint)
    kind = trigger.get("kind", "webhook") if isinstance(trigger, dict) else "webhook"
    if kind not in TRIGGERS:
        message = f'"kind" cannot be {str(kind)!r:.80}'
        hint = did_you_mean(str(kind), TRIGGERS)
        yield Mistake(path=(*path, "kind"), code="invalid-value", message=message, hint=hint)


def _now(now: JSON, path: Path) -> Iterator[Mistake]:
    try:
        if isinstance(now, str):
            instant(now)
    except (ValueError, OverflowError):
        message = f'"now" cannot be {now!r:.80}'
        hint = "Write a time with its offset, such as 2026-03-29T01:30:00Z."
        yield Mistake(path=path, code="invalid-value", message=message, hint=hint)
