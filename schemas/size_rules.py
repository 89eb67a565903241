"""How large what is written as a size may be."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.mistakes import Mistake
from schemas.outline import Path
from schemas.pattern import JSON
from schemas.quantities import size_in_bytes


def too_large(written: JSON, path: Path, largest: int) -> Iterator[Mistake]:
    """`largest`: in bytes, whole MiB."""
    try:
        size = size_in_bytes(written) if isinstance(written, str) else 0
    except ValueError:
        return  # the JSON Schema says so
    if size > largest:
        message, hint = f'"{path[-1]}" cannot be {written}', f"Write at most {largest >> 20}MiB."
        yield Mistake(path=path, code="invalid-value", message=message, hint=hint)
