"""Values that a command takes as text, or from a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import typer

from schemas.pattern import JSON


def read_json(option: str, given: str) -> JSON:
    """The JSON of an argument, of the file behind an `@`, or of standard input for `@-`. Raises BadParameter."""
    try:
        return json.loads(_read(given))
    except OSError as error:
        raise typer.BadParameter(f"{error.filename}: {error.strerror}", param_hint=option) from error
    except ValueError as error:
        raise typer.BadParameter(f"this is not JSON: {error}", param_hint=option) from error


def _read(given: str) -> str:
    if given == "@-":
        return sys.stdin.read()
    return Path(given[1:]).read_text("utf-8") if given.startswith("@") else given
