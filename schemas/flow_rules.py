"""What must hold for the nodes that steer a run, beyond their shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from schemas.expressions import NAMES, RESERVED, TYPES
from schemas.json_schemas import schema_mistakes
from schemas.mistakes import Mistake
from schemas.outline import ERROR_NAMES, EVENT_NAMES, ROUND_NAMES, Outline
from schemas.pattern import DEFAULT_TIMEOUT, JSON
from schemas.quantities import duration, seconds

_TAKEN: Final = (
    NAMES.keys() | RESERVED | TYPES | ERROR_NAMES | EVENT_NAMES | ROUND_NAMES | {"now", "secrets", "params"}
)

_WAITS: Final = {"delay": "for", "wait": "timeout", "approve": "timeout"}
"""Kinds that wait, and where they say for how long."""


def flow_mistakes(nodes: Iterable[Outline], timeout: JSON) -> Iterator[Mistake]:
    """All of them, nested ones included; `timeout` is the pattern's as written, or None."""
    written = duration(DEFAULT_TIMEOUT) if timeout is None else timeout
    limit = _seconds(written)
    for node in nodes:
        if node.uses == "for-each":
            yield from _name_of_items(node)
        elif node.uses in _WAITS and limit is not None:
            yield from _longer_than_the_run(node, limit, written)
        if node.uses == "approve" and isinstance(node.inputs, dict):
            form = node.inputs.get("form")
            if isinstance(form, dict | bool):
                yield from schema_mistakes(form, (*node.path, "with", "form"))


def _name_of_items(node: Outline) -> Iterator[Mistake]:
    [names] = node.names.values() or [frozenset[str]()]
    for name in sorted((names - {"index"} or names) & _TAKEN):
        message = f'the items cannot be called "{name}": expressions have that name for something else'
        path = (*node.path, "as")
        yield Mistake(path=path, code="reserved-name", message=message, hint="Choose another name.")


def _longer_than_the_run(node: Outline, limit: float, in_all: str) -> Iterator[Mistake]:
    key = _WAITS[node.uses]
    written = node.inputs.get(key) if isinstance(node.inputs, dict) else None
    wanted = _seconds(written)
    if wanted is not None and wanted >= limit:
        message = f'"{node.id}" waits for {written}, and the run has {in_all} in all'
        hint = 'Give the pattern a longer "timeout" (beside "nodes"; 1h where it says nothing).'
        yield Mistake(path=(*node.path, "with", key), code="longer-than-run", message=message, hint=hint)


def _seconds(written: JSON) -> float | None:
    try:
        return seconds(written) if isinstance(written, str) else None
    except ValueError:
        return None  # an expression, or the JSON Schema says so
