"""JSON Schemas that people write into their documents. Nothing is ever fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

import jsonschema_rs
import orjson
from jsonschema import Draft202012Validator

from schemas.mistakes import Mistake
from schemas.outline import Path
from schemas.pattern import JSON

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_EXPLAINED: Final = Draft202012Validator(Draft202012Validator.META_SCHEMA)
_PATIENT: Final = jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000)
"""For patterns that go back and forth (look-around, back references; all others take linear time): anybody may send
what is to fit them, in thousands of keys. A text that would take more steps does not fit.
"""
_SMALL: Final = 20_000  # characters and values


def schema_mistakes(schema: JSON, at: Path) -> Iterator[Mistake]:
    """What is wrong with a JSON Schema that stands at a place of a document."""
    hint = "See https://json-schema.org/understanding-json-schema for what a schema may say."
    if not _dialect().is_valid(schema):
        # Fifty times slower, and its messages are those that people know. The patterns in it are not the author's.
        for error in islice(_EXPLAINED.iter_errors(schema), 10):
            path = (*at, *error.absolute_path)
            yield Mistake(path=path, code="invalid-json-schema", message=_short(error.message), hint=hint)
        return
    try:
        jsonschema_rs.Draft202012Validator(schema, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        inside = error.instance_path if isinstance(error, jsonschema_rs.ValidationError) else ()
        message = _short(getattr(error, "message", None) or str(error))
        if "Retrieval is disabled" in message:
            message, hint = "`$ref` leads out of the document", "Copy what it refers to into `$defs`."
        yield Mistake(path=(*at, *inside), code="invalid-json-schema", message=message, hint=hint)


def violations(schema: JSON, value: JSON, *, most: int = 10) -> tuple[str, ...]:
    """How a value fails a schema: `order.total: "x" is not of type "integer"`. Of a large value the first way only.

    Raises ValueError, with the first mistake, for a schema that `schema_mistakes` has something against. What comes
    from outside decides nothing here about time: no `pattern` goes back and forth in a text without a limit.
    """
    try:
        validator = _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        found = next(schema_mistakes(schema, ()), None)
        raise ValueError(found.message if found else _short(str(error))) from error
    return tuple(f"{place}: {said}" if place else said for place, said in _found(validator, value, most))


class Shape:
    """A schema made ready, for values that come often. Raises what `violations` raises for a wrong one.

    `root` is what the whole value is called.
    """

    def __init__(self, schema: JSON, root: str = "") -> None:
        self._validator = jsonschema_rs.Draft202012Validator(schema, offline=True, pattern_options=_PATIENT)
        self._root = root

    def violations(self, value: JSON, *, most: int = 100) -> list[tuple[str, str]]:
        """How a value fails: place (`order.lines[0]`, the root's name for the whole) and reason."""
        return _found(self._validator, value, most, self._root)


def _found(
    validator: jsonschema_rs.Validator, value: JSON, most: int, root: str = ""
) -> list[tuple[str, str]]:
    if validator.is_valid(value):
        return []
    errors = validator.iter_errors(value) if _is_small(value) else _first(validator, value)
    return [(_place(root, error.instance_path), _short(error.message)) for error in islice(errors, most)]


def _place(root: str, path: Iterable[str | int]) -> str:
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return (root + steps).removeprefix(".")


def _first(validator: jsonschema_rs.Validator, value: JSON) -> Iterator[jsonschema_rs.ValidationError]:
    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        yield error


def _is_small(value: JSON) -> bool:
    """Whether everything that is wrong with it can be found at once: each of the errors may quote all of it."""
    unseen, left = [value], _SMALL
    while unseen and left > 0:
        one = unseen.pop()
        left -= len(one) if isinstance(one, str | list | dict) else 1
        if left > 0 and isinstance(one, list | dict):
            unseen += one.values() if isinstance(one, dict) else one
    return left > 0


@lru_cache(maxsize=1)
def _dialect() -> jsonschema_rs.Validator:
    """The schema of JSON Schemas (2020-12)."""
    return jsonschema_rs.Draft202012Validator({"$ref": _DIALECT}, offline=True)


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(orjson.loads(schema), offline=True)


def _short(message: str) -> str:
    line = message.split("\n")[0]
    return line if len(line) <= 300 else f"{line[:299]}…"
