"""What must hold within one deployment beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from schemas.mistakes import Mistake
from schemas.naming import early_mistakes
from schemas.pattern import JSON
from schemas.schedule_rules import schedule_mistakes

KEY_NAMES: Final = frozenset({"trigger", "input", "vars"})
"""What the key of `concurrency` may read: what is known when a run is accepted."""


def deployment_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a deployment's `spec`, whatever shape it has."""
    yield from schedule_mistakes(spec.get("schedules"), ("spec", "schedules"))
    concurrency = spec.get("concurrency")
    key = concurrency.get("key") if isinstance(concurrency, dict) else None
    if isinstance(key, str):
        path = ("spec", "concurrency", "key")
        yield from early_mistakes(key, path, KEY_NAMES, "a run is accepted")
