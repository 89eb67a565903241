"""How values are told not to fit a JSON Schema."""

from __future__ import annotations

import time
from typing import Any

import pytest

from schemas.json_schemas import Shape, violations


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": "^(a+)+$"}, "a" * 60 + "!"),
        ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 60 + "!": 1}),
        ({"uniqueItems": True}, [*range(20_000), *map(str, range(20_000)), "7"]),
        ({"$ref": "#/$defs/name", "$defs": {"name": {"pattern": "^(a|a)*$"}}}, "a" * 60 + "!"),
    ],
)
def test_no_value_keeps_the_process_busy_that_explains_why_it_does_not_fit(schema: Any, value: Any) -> None:
    began = time.monotonic()
    assert violations(schema, value)
    assert time.monotonic() - began < 2


def test_what_is_simple_is_told_with_its_place() -> None:
    schema = {"properties": {"size": {"type": "string"}}}
    assert violations(schema, {"size": 1}) == ('size: 1 is not of type "string"',)
    assert violations({"type": "integer"}, "x") == ('"x" is not of type "integer"',)


def test_no_body_keeps_the_process_busy_by_patterns_that_go_back_and_forth() -> None:
    shape = Shape({"patternProperties": {r"^(a|aa)+\1$": {}}, "additionalProperties": False})
    began = time.monotonic()
    assert shape.violations({"a" * 40 + f"b{number}": 1 for number in range(200)})
    assert time.monotonic() - began < 1
    words = Shape({"type": "string", "pattern": r"^(?=.*\d)(?=.*[a-z])[\w ]{8,}$"})
    assert not words.violations("a1 " * 100_000)
