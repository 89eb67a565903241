"""YAML, by the rules of Weft's own files: the core schema of YAML 1.2, no aliases, tags or merge keys."""

from __future__ import annotations

from typing import Any, Final

import yaml

from runner.nodes.formats.limits import MAX_DEPTH, format_error, parse_error, too_deep
from schemas.pattern import JSON
from schemas.yaml_text import MAX_BYTES, is_typed, read_yaml

_WIDTH: Final = 2**31 - 1  # lines are never folded


def read_yaml_text(text: str) -> JSON:
    """The one document of the text; null when there is none. At most 256 KiB and 50,000 values."""
    file = read_yaml("", text.encode("utf-8", "surrogatepass"))
    if file.problems:
        first = file.problems[0]
        message = first.message.replace("the file", "the text")
        raise parse_error(message, line=first.line, column=first.column, hint=first.hint)
    if len(file.documents) > 1:
        second = file.documents[1]
        raise parse_error("a second document begins", line=second.line, hint="Parse one document at a time.")
    return file.documents[0].value if file.documents else None


def write_yaml_text(value: JSON) -> str:
    """In block style. Texts that would read back as something else are quoted."""
    if too_deep(value):
        raise format_error(f"values are nested more than {MAX_DEPTH} deep")
    try:
        text = yaml.dump(
            value, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=_WIDTH, default_flow_style=False
        )
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise format_error("the value holds half of a surrogate pair, which is no text") from error
    if size > MAX_BYTES:
        raise format_error(f"the text has {size:,} bytes; {MAX_BYTES:,} are allowed", hint="Use JSON.")
    return text


class _Dumper(yaml.CSafeDumper):
    """Never writes an anchor: equal values are written out each time."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    if "\0" in value:
        raise format_error("a text holds a NUL character, which cannot be read back", hint="Remove it.")
    # PyYAML quotes what YAML 1.1 takes for another type; the core schema of 1.2 knows more numbers.
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if is_typed(value) else None)


_Dumper.add_representer(str, _text)
