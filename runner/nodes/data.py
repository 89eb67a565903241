"""`parse`, `format` and `validate`: from text to values, back, and what they have to look like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.formats.csv_text import read_csv, write_csv
from runner.nodes.formats.json_text import read_json, write_json
from runner.nodes.formats.limits import MAX_TEXT, called, parse_error
from runner.nodes.formats.xml_text import read_xml, write_xml
from runner.nodes.formats.yaml_text import read_yaml_text, write_yaml_text
from schemas.json_schemas import violations
from schemas.pattern import JSON

_READERS: Final[Mapping[str, Callable[..., JSON]]] = {
    "json": read_json,
    "csv": read_csv,
    "yaml": read_yaml_text,
    "xml": read_xml,
}
_WRITERS: Final[Mapping[str, Callable[..., str]]] = {
    "json": write_json,
    "csv": write_csv,
    "yaml": write_yaml_text,
    "xml": write_xml,
}


def parse(context: NodeContext, inputs: JSON) -> JSON:
    """Takes `{format, text}` and the format's options, gives the value. Error: `parse_error`."""
    options = dict(inputs)
    format_, text = options.pop("format"), options.pop("text")
    if not isinstance(text, str):
        raise parse_error(f'"text" must be text, not {called(text)}', hint="Parse only what is text.")
    if len(text) > MAX_TEXT:
        raise parse_error(f"the text has {len(text):,} characters; {MAX_TEXT:,} are allowed")
    return _READERS[format_](text, **options)


def format_(context: NodeContext, inputs: JSON) -> JSON:
    """Takes `{format, value}` and the format's options, gives the text. Error: `format_error`."""
    options = dict(inputs)
    format_, value = options.pop("format"), options.pop("value")
    return _WRITERS[format_](value, **options)


def validate(context: NodeContext, inputs: JSON) -> JSON:
    """Takes `{value, schema}`, gives the value. Errors: `invalid_data` with the reasons, `invalid_schema`."""
    value, schema = inputs["value"], inputs["schema"]
    if not isinstance(schema, dict | bool):
        raise _not_a_schema(f"{called(schema)} is no JSON Schema")
    try:
        reasons = violations(schema, value)
    except ValueError as error:
        raise _not_a_schema(str(error)) from error
    if reasons:
        raise NodeError("invalid_data", "; ".join(reasons), retryable=False)
    return value


def _not_a_schema(message: str) -> NodeError:
    return NodeError("invalid_schema", message, retryable=False)
