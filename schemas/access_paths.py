"""Which values a compiled CEL expression reads, found in its serialized form.

The binding gives no access to the syntax tree, but serializes it as `cel.expr.CheckedExpr`
(https://github.com/google/cel-spec/blob/master/proto/cel/expr/syntax.proto). A dozen fields of it matter
here, so they are read by their numbers, without a protobuf library.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

AccessPath = tuple[str, ...]

# Fields of Any, CheckedExpr, Expr and the messages inside Expr.
_ANY_VALUE: Final = 2
_CHECKED_EXPR: Final = 4
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = 3, 4, 5, 6, 7, 8, 9
_CONST_STRING: Final = 6
_CALL_TARGET, _CALL_FUNCTION, _CALL_ARGS = 1, 2, 3
_ENTRY_MAP_KEY, _ENTRY_VALUE = 3, 4
_ITER_VAR, _ITER_RANGE, _ACCU_VAR, _ACCU_INIT, _ITER_VAR2 = 1, 2, 3, 4, 8
_LOOP: Final = (5, 6, 7)  # condition, step, result: the variables are bound in these

_KEYED: Final = frozenset({"_[_]", "_?._", "_[?_]"})


def access_paths(serialized: bytes, variables: Collection[str]) -> frozenset[AccessPath]:
    """The paths that an expression reads, as far as they are fixed: `a.b['c'][d.e]` reads a.b.c and d.e."""
    found: set[AccessPath] = set()
    checked = _first(serialized, _ANY_VALUE)
    _collect(_first(checked, _CHECKED_EXPR), frozenset(), frozenset(variables), found)
    return frozenset(found)


def _collect(expr: bytes, bound: frozenset[str], variables: frozenset[str], found: set[AccessPath]) -> None:
    path = _path(expr, bound, variables)
    if path is not None:
        found.add(path)
        return
    for field, inner in _fields(expr):
        if field == _COMPREHENSION:
            _collect_loop(inner, bound, variables, found)
        else:
            for part in _parts(field, inner):
                _collect(part, bound, variables, found)


def _collect_loop(
    loop: bytes, bound: frozenset[str], variables: frozenset[str], found: set[AccessPath]
) -> None:
    fields = dict(_fields(loop))
    names = {fields[at].decode() for at in (_ITER_VAR, _ACCU_VAR, _ITER_VAR2) if at in fields}
    for at in (_ITER_RANGE, _ACCU_INIT):
        _collect(fields.get(at, b""), bound, variables, found)
    for at in _LOOP:
        _collect(fields.get(at, b""), bound | names, variables, found)


def _parts(field: int, inner: bytes) -> Iterator[bytes]:
    """The expressions directly inside a select, call, list or struct."""
    if field == _SELECT:
        yield _first(inner, 1)
    elif field == _CALL:
        yield from (part for at, part in _fields(inner) if at in {_CALL_TARGET, _CALL_ARGS})
    elif field == _LIST:
        yield from (part for at, part in _fields(inner) if at == 1)
    elif field == _STRUCT:
        for at, entry in _fields(inner):
            if at == 2:
                yield from (part for of, part in _fields(entry) if of in {_ENTRY_MAP_KEY, _ENTRY_VALUE})


def _path(expr: bytes, bound: frozenset[str], variables: frozenset[str]) -> AccessPath | None:
    """The path of an expression that is nothing but access by fixed keys, else None."""
    for field, inner in _fields(expr):
        if field == _IDENT:
            name = _first(inner, 1).decode().removeprefix(".")
            return (name,) if name in variables and name not in bound else None
        if field == _SELECT:
            base = _path(_first(inner, 1), bound, variables)
            return None if base is None else (*base, _first(inner, 2).decode())
        if field == _CALL:
            return _keyed(inner, bound, variables)
    return None


def _keyed(call: bytes, bound: frozenset[str], variables: frozenset[str]) -> AccessPath | None:
    if _first(call, _CALL_FUNCTION).decode() not in _KEYED:
        return None
    base, key = (part for at, part in _fields(call) if at == _CALL_ARGS)
    constants = [inner for at, inner in _fields(_first(key, _CONST)) if at == _CONST_STRING]
    path = _path(base, bound, variables) if constants else None
    return None if path is None else (*path, constants[0].decode())


def _first(message: bytes, number: int) -> bytes:
    for field, value in _fields(message):
        if field == number:
            return value
    return b""


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message with their numbers; the others are stepped over."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == 2:
            length, at = _varint(message, at)
            yield tag >> 3, message[at : at + length]
            at += length
        elif kind == 0:
            _, at = _varint(message, at)
        else:
            at += 8 if kind == 1 else 4


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
