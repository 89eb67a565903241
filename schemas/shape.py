"""What the JSON Schemas in `v1/` say about a document, in words for people.

jsonschema-rs answers in microseconds for a good document; only for a bad one are its errors worked out here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import islice
from typing import Final

import jsonschema_rs

from schemas.mistakes import Mistake, did_you_mean
from schemas.outline import CONDITIONS
from schemas.pattern import JSON

_BASE: Final = "https://schemas.weft.invalid/v1/"
_FILES: Final = (
    *("common", "nodes", "pattern", "webhook", "deployment", "project", "template", "connection"),
    *("pattern-test", "verify"),
)
_ENDING: Final = ".schema.json"
_MOST: Final = 100  # errors looked at in one document


def mistakes(kind: str, document: JSON) -> list[Mistake]:
    """What the schema of `kind` ("pattern", "deployment", …) has against the document."""
    validator = _validator(kind)
    if validator.is_valid(document):
        return []
    errors = list(islice(validator.iter_errors(document), _MOST))
    found = [mistake for error in errors for mistake in _explain(error)]
    return _without_echoes(found)


@lru_cache
def schema_documents() -> Mapping[str, JSON]:
    """The JSON Schemas as they are shipped, by name; that of a kind of node is called `nodes/<kind>`.

    `nodes` says of every node, besides, what its `uses` may be and which schema follows from it.
    """
    folder = files("schemas.v1")
    documents = {name: _read(folder / f"{name}{_ENDING}") for name in _FILES}
    kinds = {kind: _read(folder / "nodes" / f"{kind}{_ENDING}") for kind in node_kinds()}
    node = documents["nodes"]["$defs"]["node"]
    node["properties"]["uses"]["enum"] = list(kinds)
    node["allOf"] = [_of_kind(kind) for kind in kinds]
    return documents | {f"nodes/{kind}": schema for kind, schema in kinds.items()}


@lru_cache
def node_kinds() -> tuple[str, ...]:
    """The words that `uses` may hold."""
    names = (one.name for one in (files("schemas.v1") / "nodes").iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)))


def _read(file: Traversable) -> JSON:
    return json.loads(file.read_text("utf-8"))


def _of_kind(kind: str) -> JSON:
    is_it = {"properties": {"uses": {"const": kind}}, "required": ["uses"]}
    return {"if": is_it, "then": {"$ref": f"nodes/{kind}{_ENDING}"}}


@lru_cache
def _validator(kind: str) -> jsonschema_rs.Validator:
    documents = schema_documents()
    registry = jsonschema_rs.Registry([(_uri(name), schema) for name, schema in documents.items()])
    return jsonschema_rs.Draft202012Validator(
        {"$ref": _uri(kind)}, registry=registry, base_uri=_BASE, offline=True
    )


def _uri(name: str) -> str:
    return f"{_BASE}{name}{_ENDING}"


def _schema_around(error: jsonschema_rs.ValidationError) -> Mapping[str, JSON]:
    """The schema object whose keyword failed."""
    location: str = error.absolute_keyword_location or ""
    base, _, pointer = location.partition("#")
    schema: JSON = schema_documents().get(base.removeprefix(_BASE).removesuffix(_ENDING), {})
    for step in pointer.split("/")[1:-1]:
        name = step.replace("~1", "/").replace("~0", "~")
        schema = schema[int(name)] if isinstance(schema, list) else schema.get(name, {})
    return schema if isinstance(schema, dict) else {}


def _explain(error: jsonschema_rs.ValidationError) -> Iterator[Mistake]:
    path = tuple(error.instance_path)
    keyword = str(error.kind.name)
    explain = _EXPLAINED.get(keyword, _invalid)
    yield from explain(error, path, _schema_around(error))


_Path = tuple[str | int, ...]
_Schema = Mapping[str, JSON]


def _unknown_keys(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    known = sorted(schema.get("properties", {}))
    inside = schema.get("properties", {}).get("with")
    below = inside.get("properties", {}) if isinstance(inside, dict) else {}
    for key in error.kind.as_dict()["unexpected"]:
        hint = 'Put it under "with".' if key in below else did_you_mean(key, known)
        yield Mistake(
            path=(*path, key), at_key=True, code="unknown-key", message=f'unknown key "{key:.80}"', hint=hint
        )


def _missing_key(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    key = error.kind.as_dict()["property"]
    where = f" in {_name_of(path)}" if path else ""
    yield Mistake(
        path=path,
        at_key=True,
        code="missing-key",
        message=f'the key "{key}" is missing{where}',
        hint=f'Add "{key}: …".',
    )


def _wrong_type(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    types = schema.get("type", "value")
    wanted = _in_words([types] if isinstance(types, str) else types)
    value = error.instance
    message = f"{_name_of(path)} must be {schema.get('description', wanted)}, not {_shown(value)}"
    yield Mistake(path=path, code=_code(path, "wrong-type"), message=message, hint=_type_hint(value, schema))


def _type_hint(value: JSON, schema: _Schema) -> str:
    types = schema.get("type", "value")
    wanted = [types] if isinstance(types, str) else types
    if value is None:
        return (
            "Write `{}` for an empty mapping." if "object" in wanted else "Write a value, or remove the key."
        )
    if "string" in wanted and not isinstance(value, dict | list):
        fits = re.search(str(schema.get("pattern", "")), json.dumps(value)) is not None
        return "Put it in quotes." if fits else f"Write {schema.get('description', 'text')}."
    if "array" in wanted:
        return "Write a list: `[…]`, or one line with `- ` for each item."
    if "object" in wanted:
        return "Write a mapping: `key: value` on the lines below."
    return f"Write {_in_words(wanted)}" + (" without quotes." if isinstance(value, str) else ".")


def _not_listed(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    options = [str(one) for one in schema.get("enum", [schema.get("const")])]
    value = error.instance
    near = get_close_matches(value, options, n=1) if isinstance(value, str) else []
    hint = f'Did you mean "{near[0]}"?' if near else f"Write {_or(options)}."
    if path and path[-1] == "uses":
        message = f"there is no kind of node called {_shown(value)}"
        yield Mistake(path=path, code="unknown-node-kind", message=message, hint=hint)
    else:
        message = f"{_name_of(path)} cannot be {_shown(value)}"
        yield Mistake(path=path, code="invalid-value", message=message, hint=hint)


def _choice(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    branches = schema.get("oneOf", [])
    keys = [branch["required"][0] for branch in branches if "required" in branch]
    value: JSON = error.instance
    if not isinstance(value, dict):
        return  # its type is wrong, and that is said
    given = [key for key in keys if key in value]
    optional = len(keys) < len(branches)
    amount = "at most one of" if optional else "exactly one of"
    message = f"{_name_of(path)} takes {amount} {', '.join(keys)}; it has {' and '.join(given) or 'none'}"
    added = _or([f'"{key}: …"' for key in keys])
    hint = f"Keep one of them: {_or(given)}." if given else f"Add {added}."
    at = (*path, given[1]) if len(given) > 1 else path
    yield Mistake(path=at, at_key=True, code="conflicting-keys", message=message, hint=hint)


def _none_of(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    """Of keys that are optional one by one, and not all of them."""
    keys = [branch["required"][0] for branch in schema.get("anyOf", []) if "required" in branch]
    if not keys:
        yield from _invalid(error, path, schema)
    elif isinstance(error.instance, dict):
        quoted, added = _or([f'"{key}"' for key in keys]), _or([f'"{key}: …"' for key in keys])
        message = f"the key {quoted} is missing in {_name_of(path)}"
        yield Mistake(path=path, at_key=True, code="missing-key", message=message, hint=f"Add {added}.")


def _bad_name(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    inner = error.kind.as_dict()["error"]
    message = f"{_shown(inner.instance)} cannot be a key here"
    hint = f"Write {_schema_around(inner).get('description', 'another key')}."
    yield Mistake(path=(*path, inner.instance), at_key=True, code="invalid-value", message=message, hint=hint)


def _invalid(error: jsonschema_rs.ValidationError, path: _Path, schema: _Schema) -> Iterator[Mistake]:
    keyword = str(error.kind.name)
    if keyword in _AMOUNTS:
        wrong, advice = _AMOUNTS[keyword]
        message, hint = f"{_name_of(path)} {wrong.format(schema.get(keyword))}", advice
    else:
        message = f"{_name_of(path)} cannot be {_shown(error.instance)}"
        hint = f"{error.message[:1].upper()}{error.message[1:200]}."
    if "description" in schema:
        hint = f"Write {schema['description']}."
    yield Mistake(path=path, code=_code(path, "invalid-value"), message=message, hint=hint)


_AMOUNTS: Final[Mapping[str, tuple[str, str]]] = {
    "minItems": ("is empty", "Write at least one item."),
    "maxItems": ("has more than {} items", "Take some out."),
    "uniqueItems": ("names something twice", "Take one of the two out."),
    "minLength": ("is empty", "Write a text."),
    "minProperties": ("is empty", "Say something in it."),
    "maxLength": ("is longer than {} characters", "Shorten it."),
}


def _code(path: _Path, otherwise: str) -> str:
    time = path[-2:] == ("with", "until")  # of a `delay`
    return "condition-not-expression" if path and path[-1] in CONDITIONS and not time else otherwise


_EXPLAINED: Final[
    Mapping[str, Callable[[jsonschema_rs.ValidationError, _Path, _Schema], Iterator[Mistake]]]
] = {
    "additionalProperties": _unknown_keys,
    "required": _missing_key,
    "type": _wrong_type,
    "enum": _not_listed,
    "const": _not_listed,
    "oneOf": _choice,
    "anyOf": _none_of,
    "propertyNames": _bad_name,
}


def _without_echoes(found: list[Mistake]) -> list[Mistake]:
    """One problem for one mistake: a misspelt key is not also missing, and nothing is said twice."""
    misspelt = {
        (mistake.path[:-1], mistake.hint.removeprefix('Did you mean "').removesuffix('"?'))
        for mistake in found
        if mistake.code == "unknown-key"
    }
    kept: dict[Mistake, None] = {}
    for mistake in found:
        echo = any(mistake.path == at and f'"{key}: …"' in mistake.hint for at, key in misspelt)
        if mistake.code not in {"missing-key", "conflicting-keys"} or not echo:
            kept[mistake] = None
    return list(kept)


def _name_of(path: _Path) -> str:
    """How a message calls a place: by its nearest key."""
    keys = [step for step in path if isinstance(step, str)]
    if not keys:
        return "the document"
    return f'"{keys[-1]}"' if isinstance(path[-1], str) else f'an item of "{keys[-1]}"'


def _shown(value: JSON) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"


def _in_words(types: Sequence[str]) -> str:
    words = {
        "object": "a mapping",
        "array": "a list",
        "string": "text",
        "integer": "a whole number",
        "number": "a number",
        "boolean": "true or false",
        "null": "null",
    }
    return " or ".join(words.get(one, one) for one in types)


def _or(options: Sequence[str]) -> str:
    return ", ".join(options[:-1]) + " or " + options[-1] if len(options) > 1 else "".join(options)
