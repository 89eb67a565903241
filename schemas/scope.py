"""Reading the values in scope: along a path, or pruned to what an expression reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

from schemas.access_paths import AccessPath
from schemas.expression_errors import ExpressionFailed, missing
from schemas.pattern import JSON

DEEPEST: Final = 500
"""Levels of a value that an expression may read: at some thousands CEL's conversion overflows the C stack."""

Wanted: TypeAlias = dict[str, Any]
"""Paths as nested mappings; an empty one stands for the whole value."""


def follow(path: AccessPath, scope: Mapping[str, JSON]) -> JSON:
    """The value at the end of the path. Raises ExpressionFailed where a step leads nowhere."""
    value: JSON = scope
    try:
        for key in path:
            value = value[key]
    except (KeyError, TypeError):  # what is no mapping is not indexed by text
        raise _missing(path, scope) from None
    return _plain(value) if len(path) == 1 else value


def _missing(path: AccessPath, scope: Mapping[str, JSON]) -> ExpressionFailed:
    value: JSON = scope
    for depth, key in enumerate(path[:-1]):
        if not isinstance(value, Mapping) or key not in value:
            return missing(path, depth, value)
        value = value[key]
    return missing(path, len(path) - 1, value)


def _plain(value: JSON) -> JSON:
    """Names at the root may stand for mappings that are no dictionaries: the outputs."""
    return dict(value) if type(value) is not dict and isinstance(value, Mapping) else value


def missing_in(path: AccessPath, scope: Mapping[str, JSON]) -> ExpressionFailed | None:
    """Why the path leads nowhere, or None where it does not."""
    try:
        follow(path, scope)
    except ExpressionFailed as error:
        return error
    return None


def wanted(reads: Iterable[AccessPath]) -> Wanted:
    tree: Wanted = {}
    whole: Wanted = {}
    for path in sorted(reads, key=len):
        branch = tree
        for depth, key in enumerate(path):
            if branch.get(key) is whole:
                break
            branch = branch.setdefault(key, whole if depth == len(path) - 1 else {})
    return tree


def pruned(value: JSON, tree: Wanted) -> JSON:
    """The value with nothing but what the tree names. What is missing stays missing, for CEL to say so."""
    kind = type(value)
    if kind is str:
        return _whole(value)
    if kind is int or kind is float or kind is bool or value is None:
        return value
    if tree and isinstance(value, Mapping):
        return {key: pruned(value[key], inner) for key, inner in tree.items() if key in value}
    return _readable(_plain(value), DEEPEST)


def _readable(value: JSON, left: int) -> JSON:
    if left == 0:
        raise ExpressionFailed(f"a value is nested more than {DEEPEST} deep", "Read it in a `script` node.")
    if isinstance(value, Mapping):
        for key in value:
            _whole(key)
    for one in value.values() if isinstance(value, Mapping) else value:
        kind = type(one)
        if kind is str:
            _whole(one)
        elif kind is dict or kind is list:
            _readable(one, left - 1)
    return value


def _whole(text: str) -> str:
    """The binding hands texts on as C strings: whatever came behind a NUL would be lost without a word."""
    if "\0" in text:
        hint = "Pass it on whole (`${{ trigger.body.text }}`), or clean it in a `script` node."
        raise ExpressionFailed("a text holds U+0000, which expressions cannot read", hint)
    return text
