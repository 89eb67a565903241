"""What CEL says about an expression, in words that say what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

from schemas.access_paths import AccessPath
from schemas.pattern import JSON


class ExpressionInvalid(Exception):
    """An expression that cannot be compiled. `line` and `column` count from 1 within its text."""

    def __init__(self, code: str, message: str, hint: str, *, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.line = line
        self.column = column


class ExpressionFailed(Exception):
    """An expression that cannot be evaluated with the values it was given."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def missing(path: AccessPath, depth: int, value: JSON) -> ExpressionFailed:
    """The error for a path whose step `depth` leads nowhere; `value` is what the steps before it led to."""
    key, before = path[depth], ".".join(path[:depth])
    if depth == 0:
        return ExpressionFailed(f'"{key}" is not known here', "It is not part of this run.")
    if not isinstance(value, Mapping):
        kind = _kind_of(value)
        return ExpressionFailed(f'{before} is {kind}, so it has no "{key}"', f"Check what {before} holds.")
    whole = ".".join(path[: depth + 1])
    near = get_close_matches(key, [one for one in value if isinstance(one, str)], n=1)
    advice = f'Did you mean "{near[0]}"? ' if near else ""
    hint = f"{advice}Where it may be missing, write has({whole}) ? {whole} : null"
    return ExpressionFailed(f'{before} has no "{key}"; {_keys(value)}', f"{hint}.")


def _keys(value: Mapping[str, JSON]) -> str:
    names = [str(key)[:40] for key in list(value)[:10]]
    if not names:
        return "it is empty"
    return f"it has {', '.join(names)}{' and more' if len(value) > 10 else ''}"


def _kind_of(value: JSON) -> str:
    if value is None:
        return "null"
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a decimal number",
        str: "text",
        list: "a list",
    }
    return names.get(type(value), "a value without keys")


_TYPES: Final = {
    "int64": "a whole number (int)",
    "int": "a whole number (int)",
    "uint64": "a whole number (uint)",
    "uint": "a whole number (uint)",
    "double": "a decimal number (double)",
    "string": "text",
    "bool": "true or false",
    "null_type": "null",
    "null": "null",
    "map": "a mapping",
    "list": "a list",
    "timestamp": "a time",
    "duration": "a duration",
    "bytes": "bytes",
}
_NUMBERS: Final = frozenset({"int64", "uint64", "double", "int", "uint"})
_NO_OVERLOAD: Final = re.compile(r"No matching overloads found : ([^\s(]+)(?:\((.*)\))?")
_STATUS: Final = re.compile(r"^[A-Z_]{4,}: ")


def failed(text: str) -> ExpressionFailed:
    """The error for what CEL gives at run time: `STATUS: message`."""
    for pattern, explain in _RUN_TIME:
        match = pattern.search(text)
        if match:
            return explain(match)
    message = _STATUS.sub("", text)[:500]
    return ExpressionFailed(message, "Check the values that the expression is given.")


def _wrong_operands(match: re.Match[str]) -> ExpressionFailed:
    name, types = match[1], [one.strip() for one in (match[2] or "").split(",") if one.strip()]
    if name == "<jump_condition>":
        return ExpressionFailed("the condition before `?` is not true or false", "Compare it with something.")
    if name in {"_&&_", "_||_", "!_", "@not_strictly_false"}:
        sign = "a condition" if name.startswith("@") else f"`{name.strip('_')}`"
        return ExpressionFailed(f"{sign} takes only true and false", "Compare the value with something.")
    return ExpressionFailed(_operands(_sign(name), types), _conversion(types))


def _sign(name: str) -> str:
    return {"@in": "in", "_[_]": "[…]"}.get(name, name.strip("_") or name)


def _operands(sign: str, types: Sequence[str]) -> str:
    if not types:
        return f"`{sign}` does not take these values"
    return f"`{sign}` does not take {' and '.join(_TYPES.get(one, one) for one in types)}"


def _conversion(types: Sequence[str]) -> str:
    """What to write where an operator or function refuses the types it is given."""
    if len(types) == 2 and set(types) <= _NUMBERS:
        return "Convert one of them: double(…), or int(…)."
    if "string" in types and set(types) & _NUMBERS:
        return "Convert one of them: string(…), int(…) or double(…)."
    if "null_type" in types or "null" in types:
        return "Check for null first: x != null ? … : …."
    return "Convert the value: string(…), int(…), double(…), json(…)."


def _no_such_key(match: re.Match[str]) -> ExpressionFailed:
    return ExpressionFailed(f"there is no {match[1]}", "Where it may be missing, check with has(…) or `in`.")


def _no_such_index(match: re.Match[str]) -> ExpressionFailed:
    message = f"index {match[1]} lies beyond a list of {match[2]} items"
    return ExpressionFailed(message, "Check size(…) first.")


def _fixed(message: str, hint: str) -> Callable[[re.Match[str]], ExpressionFailed]:
    return lambda _match: ExpressionFailed(message, hint)


_RUN_TIME: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], ExpressionFailed]], ...]] = (
    (_NO_OVERLOAD, _wrong_operands),
    (re.compile(r"Key not found in map : (.+)"), _no_such_key),
    (re.compile(r"Index error: index=(-?\d+) size=(\d+)"), _no_such_index),
    (re.compile(r"Index error"), _fixed("a list is indexed by a whole number", "Write list[0], or int(…).")),
    (
        re.compile(r"Applying SELECT to non-message"),
        _fixed("a value that is not a mapping has no fields", "Check what the value holds."),
    ),
    (
        re.compile(r"Iteration budget exceeded"),
        _fixed("the expression goes through more than 10,000 items", "Do it in a `script` node."),
    ),
    (re.compile(r"divide by zero|modulus by zero"), _fixed("a division by zero", "Check the divisor first.")),
    (
        re.compile(r"Integer value .* out of range"),
        _fixed("a whole number is beyond 64 bit", "Send it as text."),
    ),
    (
        re.compile(r"construction from null"),
        _fixed("a text is not valid Unicode", "Send it as base64, or mend its encoding."),
    ),
)


_OF_CEL: Final = frozenset(
    [
        *(
            "all",
            "contains",
            "double",
            "duration",
            "endsWith",
            "exists",
            "exists_one",
            "filter",
            "has",
            "int",
        ),
        *("map", "matches", "size", "startsWith", "string", "timestamp", "type"),
    ]
)
"""The functions of CEL's own that people use (https://github.com/google/cel-spec/blob/master/doc/langdef.md)."""

_ERROR: Final = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']+)'")
_NO_STATIC_OVERLOAD: Final = re.compile(r"found no matching overload for '([^']+)' applied to '(.*)'")


def invalid(text: str, source: str, names: Sequence[str], functions: Sequence[str]) -> ExpressionInvalid:
    """The error for what CEL's compiler says about `source`, with the names and functions that exist."""
    match = _ERROR.search(text)
    if match is None or int(match[1]) < 1:
        message = (
            "the expression is nested too deeply" if "recursion" in text else _STATUS.sub("", text)[:200]
        )
        return ExpressionInvalid("expression-syntax", message, "Split it over several `set` nodes.")
    line, column, said = int(match[1]), int(match[2]), match[3].removesuffix(" [INVALID_ARGUMENT]")
    undeclared = _UNDECLARED.search(said)
    if undeclared:
        root = undeclared[1].removeprefix(".").split(".")[0]
        return _unknown(root, source.split("\n")[line - 1], (line, column), names, functions)
    overload = _NO_STATIC_OVERLOAD.search(said)
    if overload:
        return _static_types(overload, line, column)
    message, hint = _syntax(said)
    return ExpressionInvalid("expression-syntax", message, hint, line=line, column=column)


def _unknown(
    word: str, text: str, place: tuple[int, int], names: Sequence[str], functions: Sequence[str]
) -> ExpressionInvalid:
    """CEL points at the dot behind a name or at the bracket of a call: find the word itself in its line."""
    line, column = place
    starts = [match.start() + 1 for match in re.finditer(rf"\b{re.escape(word)}\b", text)]
    column = max((start for start in starts if start <= column + 1), default=column)
    called = re.match(r"\w+\s*\(", text[column - 1 :]) is not None
    if word in functions or (called and word in _OF_CEL):
        return _called_wrongly(word, line, column, called=called)
    near = get_close_matches(word, functions if called else names, n=1)
    if near:
        hint = f'Did you mean "{near[0]}"?'
    elif called:
        hint = f"Beside CEL's own there are {', '.join(functions)}."
    else:
        hint = f"Known are {', '.join(names)}; text needs quotes: '{word:.40}'."
    message = f'unknown {"function" if called else "name"} "{word:.80}"'
    return ExpressionInvalid("unknown-name", message, hint, line=line, column=column)


def _called_wrongly(word: str, line: int, column: int, *, called: bool) -> ExpressionInvalid:
    """CEL says of a function that is there, with other arguments, that it does not know it."""
    message = f"{word} does not take that many arguments" if called else f"{word} is a function"
    hint = "Give it others: the docs of patterns list the functions." if called else f"Call it: {word}(…)."
    return ExpressionInvalid("unknown-name", message, hint, line=line, column=column)


def _static_types(match: re.Match[str], line: int, column: int) -> ExpressionInvalid:
    name, types = match[1], [one.strip(" ()") for one in match[2].split(",")]
    message, hint = _operands(_sign(name), types), _conversion(types)
    if name == "_?_:_":
        message, hint = "both sides of `:` must be of one kind", "Wrap both in dyn(…) if they may differ."
        if types[0] not in {"bool", "dyn"}:
            message, hint = "the condition before `?` is not true or false", "Compare it with something."
    return ExpressionInvalid("expression-type", message, hint, line=line, column=column)


def _syntax(said: str) -> tuple[str, str]:
    said = said.removeprefix("Syntax error: ").split(" expecting ")[0]
    if "<EOF>" in said:
        return (
            "the expression ends too early",
            "Complete it, and check that brackets and quotes come in pairs.",
        )
    if "token recognition error" in said:
        token = said.split("at: ", 1)[-1]
        return f"{token} cannot be read here", "Text needs quotes on both sides, comparison is `==`."
    if re.search(r"'(?:and|or|not)'", said):
        return said, "Write && for and, || for or, ! for not."
    return said, "Expressions are CEL: https://github.com/google/cel-spec/blob/master/doc/langdef.md."
