"""The page of the node kinds, from their JSON Schemas: `python -m schemas.node_docs > docs/nodes.md`.

Beside the keywords of JSON Schema a kind's file has `title` (what it does), `x-gives`, `x-errors` (names of
`schemas.errors`), `x-example` (a node), `x-secrets` (keys of `with` that may name secrets, or true for all) and, on
every key, `x-doc` and `default`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import yaml

from schemas.errors import ERROR_TYPES
from schemas.pattern import JSON
from schemas.secret_names import secret_keys
from schemas.shape import node_kinds, schema_documents

_INTRO: Final = """\
# Node kinds

This page is made from the JSON Schemas of the kinds: change those, then run
`python -m schemas.node_docs > docs/nodes.md`. How patterns are written is in [patterns](patterns.md).

Every value may hold expressions (`${{ … }}`) unless it says otherwise; what an expression gives is checked when
the node runs. Control nodes have their keys beside `uses`, all others take them in `with`.
"""
_COMMON: Final = """\
## Keys of every node
"""
_ERRORS: Final = """\
## Errors

`retry.on` and the like may name a type or the family that it stands in. A `fail` node makes up types of its own:
`order.invalid` stands in the family `order`. What a run shows beside the message is the hint of the error itself,
or else the one that stands here.

| type | in | is | what to do |
|---|---|---|---|
"""
_WORDS: Final[Mapping[str, str]] = {
    "object": "mapping",
    "array": "list",
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "`true` or `false`",
    "null": "null",
}
_REFERRED: Final[Mapping[str, str]] = {
    "expression": "an expression",
    "nodes": "a list of nodes",
    "nodeId": "an id",
    "retry": "mapping",
}
"""What refers to these is described shorter than by what they say themselves."""


def page() -> str:
    """All of `docs/nodes.md`."""
    listed = "".join(
        f"- [`{kind}`](#{kind}): {_first_small(_sentence(_schema(kind), 'title'))}\n" for kind in node_kinds()
    )
    kinds = "\n".join(_kind(kind) for kind in node_kinds())
    return f"{_INTRO}\n{listed}\n{_COMMON}\n{_common_keys()}\n{kinds}\n{_ERRORS}{_error_rows()}"


def _schema(kind: str) -> dict[str, JSON]:
    schema: dict[str, JSON] = schema_documents()[f"nodes/{kind}"]
    return schema


def _kind(kind: str) -> str:
    schema = _schema(kind)
    parts = [
        f"## `{kind}`\n",
        f"{_sentence(schema, 'title')}.\n",
        _keys(schema),
        f"Gives: {_sentence(schema, 'x-gives')}.\n",
        _secrets(kind),
        _own_errors(schema.get("x-errors", ())),
        f"```yaml\n{example_text(schema['x-example'])}```\n" if "x-example" in schema else "",
    ]
    return "\n".join(part for part in parts if part)


def _sentence(schema: dict[str, JSON], key: str) -> str:
    """Without a full stop at its end."""
    return str(schema.get(key, "")).rstrip(".")


def _doc(schema: JSON) -> str:
    return str(schema.get("x-doc", "")) if isinstance(schema, dict) else ""


def _keys(schema: dict[str, JSON]) -> str:
    """The table of what the kind takes; for a kind that takes anything, what it means."""
    inside = schema["properties"].get("with")
    taken = inside if isinstance(inside, dict) else schema
    if inside and "properties" not in inside:
        return f"`with`: {_doc(inside)}\n"
    common = _common_names() if taken is schema else ()
    own = {key: one for key, one in taken["properties"].items() if key not in common}
    return _table(own, taken.get("required", ())) if own else ""


def _common_names() -> Collection[str]:
    return {*schema_documents()["nodes"]["$defs"]["node"]["properties"], "with"}


def _common_keys() -> str:
    node = schema_documents()["nodes"]["$defs"]["node"]
    return _table(node["properties"], node["required"])


def _table(keys: Mapping[str, JSON], required: Sequence[str]) -> str:
    head = "| key | takes | default | means |\n|---|---|---|---|\n"
    return head + "".join(
        f"| `{key}` | {_cell(_takes(schema))} | {_default(schema, key in required)} | {_cell(_doc(schema))} |\n"
        for key, schema in keys.items()
    )


def _default(schema: JSON, required: bool) -> str:
    if required:
        return "required"
    if not isinstance(schema, dict):
        return ""
    return f"`{_cell(json.dumps(schema['default']))}`" if "default" in schema else ""


def _takes(schema: JSON) -> str:
    """What a key takes, in words."""
    if not isinstance(schema, dict):
        return "any value"
    if "else" in schema:
        return _takes(schema["else"])
    if "description" in schema:
        return str(schema["description"])
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _REFERRED.get(name) or _takes(_definition(name))
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_takes(one) for one in schema["anyOf"])
    return _typed(schema)


def _typed(schema: dict[str, JSON]) -> str:
    types = schema.get("type", ())
    words = " or ".join(_WORDS[one] for one in ([types] if isinstance(types, str) else types))
    if words == "list" and isinstance(schema.get("items"), dict):
        return f"list: {_takes(schema['items'])}"
    return words or "any value"


def _definition(name: str) -> JSON:
    documents = schema_documents()
    return next(
        documents[file]["$defs"][name]
        for file in ("common", "pattern", "nodes", *documents)
        if name in documents[file].get("$defs", {})
    )


def _secrets(kind: str) -> str:
    listed = ", ".join(f"`{key}`" for key in secret_keys(kind))
    return f"Secrets (`${{{{ secrets.NAME }}}}`) may stand in: {listed}.\n" if listed else ""


def _own_errors(names: Sequence[str]) -> str:
    if not names:
        return ""
    lines = [f"- `{name}`: {ERROR_TYPES[name].means}. {ERROR_TYPES[name].hint}\n" for name in names]
    return f"Errors:\n\n{''.join(lines)}"


def _error_rows() -> str:
    return "".join(
        f"| `{one.name}` | {f'`{one.family}`' if one.family else ''} | {_cell(one.means)} | {_cell(one.hint)} |\n"
        for one in ERROR_TYPES.values()
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _first_small(text: str) -> str:
    return text[:1].lower() + text[1:]


class _Dumper(yaml.SafeDumper):
    """As people write: lists indented, long texts in blocks."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _text(dumper: Any, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def example_text(node: JSON) -> str:
    """A node as an item of a list, in YAML."""
    return yaml.dump([node], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


if __name__ == "__main__":
    sys.stdout.write(page())
