"""What must hold within one deployment beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from schemas.expressions import ExpressionInvalid, compile_expression
from schemas.mistakes import Mistake, Spot
from schemas.pattern import JSON
from schemas.pattern_rules import schedule_mistakes
from schemas.template_text import pieces

KEY_NAMES: Final = ("trigger", "input", "vars")
"""What the key of `concurrency` may read: what is known when a run is accepted."""


def deployment_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a deployment's `spec`, whatever shape it has."""
    yield from schedule_mistakes(spec.get("schedules"), ("spec", "schedules"))
    concurrency = spec.get("concurrency")
    key = concurrency.get("key") if isinstance(concurrency, dict) else None
    if isinstance(key, str):
        yield from _key_mistakes(key)


def _key_mistakes(key: str) -> Iterator[Mistake]:
    path = ("spec", "concurrency", "key")
    for nth, piece in enumerate(pieces(key)):
        if not piece.closed:
            spot = Spot(source=piece.source, nth=nth, line=1, column=1)
            message, hint = (
                "the expression does not end",
                "Close it with }}, and check that quotes come in pairs.",
            )
            yield Mistake(path=path, spot=spot, code="expression-syntax", message=message, hint=hint)
            return
        try:
            expression = compile_expression(piece.source)
        except ExpressionInvalid as error:
            spot = Spot(source=piece.source, nth=nth, line=error.line, column=error.column)
            yield Mistake(path=path, spot=spot, code=error.code, message=error.message, hint=error.hint)
            continue
        for root in sorted({read[0] for read in expression.reads} - set(KEY_NAMES)):
            message = f'"{root}" is not known yet when a run is accepted'
            yield Mistake(
                path=path, code="unknown-name", message=message, hint="Read trigger, input or vars."
            )
