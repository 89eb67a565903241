"""What must hold for nodes that check data or run commands, beyond their shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.json_schemas import schema_mistakes
from schemas.mistakes import Mistake
from schemas.outline import Outline, Path, texts_in
from schemas.pattern import JSON
from schemas.redis_commands import refusal
from schemas.size_rules import too_large
from schemas.template_text import OPENING

LARGEST_OUTPUT: Final = 4 * 1024 * 1024
"""Bytes that a command may write to its standard output."""


_OPTIONS: Final = {"indent": "json", "header": "csv", "delimiter": "csv", "columns": "csv", "lists": "xml"}
"""Keys of `parse` and `format`, and the one format that each is for."""


def data_mistakes(nodes: Iterable[Outline]) -> Iterator[Mistake]:
    """All of them, nested ones included."""
    for node in nodes:
        inputs, path = node.inputs, (*node.path, "with")
        if not isinstance(inputs, dict):
            continue
        if node.uses in {"parse", "format"}:
            yield from _options(inputs, path)
        elif node.uses == "validate":
            yield from _fixed_schema(inputs.get("schema"), (*path, "schema"))
        elif node.uses == "redis":
            yield from _redis_command(inputs.get("command"), (*path, "command"))
        elif node.uses == "shell":
            yield from _files(inputs.get("files"), (*path, "files"))
            yield from too_large(inputs.get("maxOutput"), (*path, "maxOutput"), LARGEST_OUTPUT)


def path_mistakes(name: str, path: Path) -> Iterator[Mistake]:
    """What is wrong with the path of an asset."""
    parts = name.split("/")
    if "\\" in name or any(part in {"", ".", "..", ".git"} for part in parts) or not name.isprintable():
        message = f"{name!r:.200} is not a path within the repository"
        hint = "Write the path from the root with forward slashes, such as scripts/enrich.py."
        yield Mistake(path=path, code="path-outside-repository", message=message, hint=hint)


def _options(inputs: Mapping[str, JSON], path: Path) -> Iterator[Mistake]:
    written = inputs.get("format")
    for option, format_ in _OPTIONS.items():
        if option in inputs and isinstance(written, str) and written != format_:
            message = f'"{option}" is for the format {format_}, and here it is {written:.80}'
            here = (*path, option)
            yield Mistake(path=here, at_key=True, code="conflicting-keys", message=message, hint="Remove it.")


def _fixed_schema(schema: JSON, path: Path) -> Iterator[Mistake]:
    """A schema with expressions in it is known, and checked, when the node runs."""
    if isinstance(schema, dict | bool) and not any(texts_in(schema, path)):
        yield from schema_mistakes(schema, path)


def _redis_command(command: JSON, path: Path) -> Iterator[Mistake]:
    """What comes from an expression is looked at when the node runs."""
    refused = refusal(command) if isinstance(command, list) else None
    if refused is not None:
        message, hint = refused
        yield Mistake(path=path, code="invalid-value", message=message, hint=hint)


def _files(listed: JSON, path: Path) -> Iterator[Mistake]:
    for index, name in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(name, str) and OPENING in name:
            message = "the files are fixed with the version, and cannot come from an expression"
            hint = "Hand the value over in `command`, `env` or `stdin`."
            yield Mistake(path=(*path, index), code="template-not-allowed", message=message, hint=hint)
        elif isinstance(name, str):
            yield from path_mistakes(name, (*path, index))
