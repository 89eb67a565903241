"""Reading what a forge answers: a field that is not as its documentation says is an error that names it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from reconciler.forges.errors import RefusedError
from schemas.pattern import JSON

_COMMIT = re.compile(r"[0-9a-f]{40}")


def text(value: JSON, *path: str) -> str:
    found = _at(value, path)
    if not isinstance(found, str):
        raise _missing(path)
    return found


def optional_text(value: JSON, *path: str) -> str | None:
    found = _at(value, path)
    return found if isinstance(found, str) else None


def number(value: JSON, *path: str) -> int:
    found = _at(value, path)
    if not isinstance(found, int) or isinstance(found, bool):
        raise _missing(path)
    return found


def commit(value: JSON, *path: str) -> str:
    found = text(value, *path)
    if not _COMMIT.fullmatch(found):
        raise _missing(path)
    return found


def _at(value: JSON, path: tuple[str, ...]) -> JSON:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _missing(path: tuple[str, ...]) -> RefusedError:
    return RefusedError(
        f"The forge's answer has no right `{'.'.join(path)}`: see that WEFT_FORGE_API is right"
    )
