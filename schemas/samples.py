"""Values to try a template with: what its author gives for each parameter, else something of the right sort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from schemas.pattern import JSON

_DEEPEST: Final = 20

_BY_FORMAT: Final[Mapping[str, str]] = {
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "date": "2026-01-01",
    "time": "09:00:00Z",
    "date-time": "2026-01-01T09:00:00Z",
    "duration": "PT1H",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`given`: by the schema itself, so that it is what the author means."""

    value: JSON
    given: bool = False


def sample(schema: JSON, root: JSON, depth: int = 0) -> Sample:
    """A value for a schema that stands within the schema `root`."""
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return Sample(value="example")
    for key in ("default", "const"):
        if key in schema:
            return Sample(value=schema[key], given=True)
    for key in ("enum", "examples"):
        listed = schema.get(key)
        if isinstance(listed, list) and listed:
            return Sample(value=listed[0], given=True)
    other = _other(schema, root)
    return (
        Sample(value=_placeholder(schema, root, depth)) if other is None else sample(other, root, depth + 1)
    )


def _other(schema: Mapping[str, JSON], root: JSON) -> JSON:
    """The schema that this one points to, or the first that it offers."""
    target = schema.get("$ref")
    if isinstance(target, str) and target.startswith("#/"):
        found = root
        for step in target[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        return found
    offered = schema.get("anyOf", schema.get("oneOf"))
    return offered[0] if isinstance(offered, list) and offered and "type" not in schema else None


def _placeholder(schema: Mapping[str, JSON], root: JSON, depth: int) -> JSON:
    match _type(schema):
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case "array":
            few = _count(schema.get("minItems"), least=1)
            return [sample(schema.get("items"), root, depth + 1).value] * few
        case "object":
            return _object(schema, root, depth)
        case _:
            return _text(schema)


def _type(schema: Mapping[str, JSON]) -> str:
    types = schema.get("type")
    if isinstance(types, list):
        return next((one for one in types if isinstance(one, str) and one != "null"), "null")
    if isinstance(types, str):
        return types
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _number(schema: Mapping[str, JSON]) -> JSON:
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, step = schema.get("maximum", schema.get("exclusiveMaximum")), schema.get("multipleOf")
    if isinstance(least, int | float):
        return least
    if isinstance(above, int | float):
        return above + 1
    if isinstance(step, int | float):
        return step
    return min(1, most - 1) if isinstance(most, int | float) else 1


def _text(schema: Mapping[str, JSON]) -> str:
    text = _BY_FORMAT.get(str(schema.get("format")), "example")
    text = text.ljust(_count(schema.get("minLength")), "x")
    most = schema.get("maxLength")
    return text[:most] if isinstance(most, int) and most > 0 else text


def _object(schema: Mapping[str, JSON], root: JSON, depth: int) -> dict[str, JSON]:
    known, needed = schema.get("properties"), schema.get("required")
    names = [name for name in needed if isinstance(name, str)] if isinstance(needed, list) else []
    known = known if isinstance(known, dict) else {}
    return {name: sample(known.get(name), root, depth + 1).value for name in names}


def _count(wanted: JSON, least: int = 0) -> int:
    return max(least, min(wanted, 1000)) if isinstance(wanted, int) else least
