"""What runs are given: checked against the pattern's schema before anything is accepted."""

from __future__ import annotations

import orjson

from schemas.json_text import dump
from schemas.pattern import JSON
from web.contents import Content
from web.problems import Kind, Refusal

MOST = 50  # reasons that are told


def check_input(content: Content, value: JSON) -> None:
    """Raises Refusal with every reason why `value` is not what the pattern's `input` asks for."""
    if content.input_shape is None:
        return
    found = content.input_shape.violations(value, most=MOST)
    if not found:
        return
    problems = [{"path": place, "message": message} for place, message in found]
    said = "; ".join(f"{place}: {message:.200}" for place, message in found)
    raise Refusal(
        Kind.INVALID_INPUT, f"{content.pattern.name} does not take this input: {said}.", problems=problems
    )


def input_text(value: JSON, what: str = "input") -> str:
    """As it is stored. Raises Refusal for what no node could read again."""
    try:
        return dump(value)
    except orjson.JSONEncodeError:
        detail = f"The {what} is nested more than 250 levels deep. Send it flatter."
        raise Refusal(Kind.INVALID_INPUT, detail) from None
