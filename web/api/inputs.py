"""What runs are given: checked against the pattern's schema before anything is accepted."""

from __future__ import annotations

from itertools import islice

import jsonschema_rs
import orjson

from schemas.json_text import dump
from schemas.pattern import JSON
from web.api.contents import Content
from web.problems import Kind, Refusal

MOST = 50  # reasons that are told


def check_input(content: Content, value: JSON) -> None:
    """Raises Refusal with every reason why `value` is not what the pattern's `input` asks for."""
    if content.validator is None or content.validator.is_valid(value):
        return
    problems = [
        {"path": _place(error), "message": error.message}
        for error in islice(content.validator.iter_errors(value), MOST)
    ]
    said = "; ".join(f"{problem['path']}: {problem['message']:.200}" for problem in problems)
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


def _place(error: jsonschema_rs.ValidationError) -> str:
    return "input" + "".join(
        f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.instance_path
    )
