"""JSON Schemas that people write into their documents. Nothing is ever fetched from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Final

import jsonschema_rs
import orjson
from jsonschema import Draft202012Validator
from referencing import Registry

from schemas.mistakes import Mistake
from schemas.outline import Path
from schemas.pattern import JSON

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schema_mistakes(schema: JSON, at: Path) -> Iterator[Mistake]:
    """What is wrong with a JSON Schema that stands at a place of a document."""
    hint = "See https://json-schema.org/understanding-json-schema for what a schema may say."
    found = False
    try:
        for error in islice(_dialect().iter_errors(schema), 10):
            found = True
            path = (*at, *error.instance_path)
            yield Mistake(path=path, code="invalid-json-schema", message=_short(error.message), hint=hint)
        if not found:
            jsonschema_rs.Draft202012Validator(schema, offline=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        inside = error.instance_path if isinstance(error, jsonschema_rs.ValidationError) else ()
        message = _short(getattr(error, "message", None) or str(error))
        if "Retrieval is disabled" in message:
            message, hint = "`$ref` leads out of the document", "Copy what it refers to into `$defs`."
        yield Mistake(path=(*at, *inside), code="invalid-json-schema", message=message, hint=hint)


def violations(schema: JSON, value: JSON, *, most: int = 10) -> tuple[str, ...]:
    """How a value fails a schema: `order.total: "x" is not of type "integer"`.

    Raises ValueError, with the first mistake, for a schema that `schema_mistakes` has something against.
    """
    try:
        validator = _validator(orjson.dumps(schema, option=orjson.OPT_SORT_KEYS))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        found = next(schema_mistakes(schema, ()), None)
        raise ValueError(found.message if found else _short(str(error))) from error
    if validator.is_valid(value):
        return ()
    try:
        # Forty times slower, and its messages are those that people know.
        explained = Draft202012Validator(schema, registry=Registry()).iter_errors(value)
        return tuple(_told(error.absolute_path, error.message) for error in islice(explained, most))
    except (RecursionError, re.error):  # `pattern` is ECMA's, which Python reads not all of: \p{L}
        errors = islice(validator.iter_errors(value), most)
        return tuple(_told(error.instance_path, error.message) for error in errors)


@lru_cache(maxsize=1)
def _dialect() -> jsonschema_rs.Validator:
    """The schema of JSON Schemas (2020-12)."""
    return jsonschema_rs.Draft202012Validator({"$ref": _DIALECT}, offline=True)


@lru_cache(maxsize=1024)
def _validator(schema: bytes) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(orjson.loads(schema), offline=True)


def _told(path: Iterable[str | int], message: str) -> str:
    place = ".".join(str(step) for step in path)
    return f"{place}: {_short(message)}" if place else _short(message)


def _short(message: str) -> str:
    line = message.split("\n")[0]
    return line if len(line) <= 300 else f"{line[:299]}…"
