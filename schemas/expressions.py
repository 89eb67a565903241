"""Expressions: the one door to CEL.

A compiled expression knows which values it reads, because handing values to CEL converts all of them: it gets
these and no others. What is nothing but a path (`trigger.body.order`) is answered without CEL.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel
from cel_expr_python.ext import ext_encoders, ext_math, ext_optional

from schemas.access_paths import AccessPath, access_paths
from schemas.expression_errors import ExpressionFailed, ExpressionInvalid, failed, invalid
from schemas.functions import FUNCTIONS, Function, to_text
from schemas.json_values import to_json
from schemas.pattern import JSON
from schemas.scope import follow, missing_in, pruned, wanted
from schemas.secret_values import SECRETS, SecretValues
from schemas.template_text import OPENING, pieces

__all__ = [
    "NAMES",
    "Expression",
    "ExpressionFailed",
    "ExpressionInvalid",
    "Template",
    "compile_expression",
    "compile_template",
    "text_parts",
]

NAMES: Final[Mapping[str, str]] = {
    "trigger": "what started the run",
    "input": "the input of a call or manual run",
    "nodes": "the outputs of the nodes before, by id",
    "vars": "the variables of pattern and deployment",
    "run": "this run",
    "deployment": "the deployment that the run belongs to",
    "version": "the frozen version that runs",
}
"""The names in scope everywhere. A scope may also hold `now`: the time that `now()` gives, in seconds since the
epoch.
"""

NO_NAMES: Final[frozenset[str]] = frozenset()

RESERVED: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "null",
        "package",
        "namespace",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)
"""Words that CEL keeps for itself (https://github.com/google/cel-spec/blob/master/doc/langdef.md)."""

TYPES: Final = frozenset(
    ["bool", "bytes", "double", "dyn", "int", "list", "map", "null_type", "string", "type", "uint"]
)
"""Names that stand for CEL's types: nothing else can be called so."""

LONGEST: Final = 10_000  # characters of one expression

_PLAIN_PATH: Final = re.compile(
    r"\s*([a-z]\w*)((?:\.[A-Za-z_]\w*|\[(?:'[^'\\\n]*'|\"[^\"\\\n]*\")\])*)\s*", re.ASCII
)
_STEP: Final = re.compile(r"\.(\w+)|\['([^']*)'\]|\[\"([^\"]*)\"\]", re.ASCII)
_NOT_A_FIELD: Final = frozenset({"in", "true", "false", "null"})  # tokens of CEL, never names
_NO_KEY: Final = re.compile(r'Key not found in map : "(.*)"', re.DOTALL)


class Expression:
    """A compiled expression. Safe to share between threads.

    `reads` holds the paths of all values it can touch; `gives` names CEL's type of the result (`dyn`: any).
    """

    __slots__ = ("_path", "_program", "_wanted", "gives", "reads", "source")

    def __init__(self, source: str, path: AccessPath | None, program: Any, names: frozenset[str]) -> None:
        self.source = source
        self.reads = frozenset([path]) if path else access_paths(program.serialize(), NAMES.keys() | names)
        self.gives: str = "dyn" if path else program.return_type().name().lower()
        self._path = path
        self._program = program
        self._wanted = wanted(self.reads)

    def evaluate(self, scope: Mapping[str, JSON]) -> JSON:
        """The value as JSON. Raises ExpressionFailed with what was wrong and what to write instead."""
        if self._path is not None:
            return follow(self._path, scope)
        _clock.now = scope.get("now")
        try:
            result = self._program.eval(data=pruned(scope, self._wanted))
            plain = result.plain_value()
        except RuntimeError as error:
            raise failed(str(error)) from error
        except (TypeError, SystemError) as error:  # the binding has no Python value for optionals
            raise ExpressionFailed("the result is not JSON", "Convert it, or add .orValue(null).") from error
        if type(plain) is str and result.type() == cel.Type.ERROR:
            raise self._failure(plain, scope)
        try:
            return to_json(plain)
        except ValueError as error:
            raise ExpressionFailed(str(error), "Convert it: string(…), json(…).") from error

    def _failure(self, text: str, scope: Mapping[str, JSON]) -> ExpressionFailed:
        """CEL names at most a key: look which of the paths leads nowhere."""
        key = _NO_KEY.search(text)
        if key is None and "SELECT" not in text and "No value with name" not in text:
            return failed(text)
        for path in sorted(self.reads):
            error = missing_in(path, scope)
            if error and (key is None or key[1] in path):
                return error
        return failed(text)


@lru_cache(maxsize=8192)
def compile_expression(source: str, names: frozenset[str] = NO_NAMES) -> Expression:
    """The expression in `source`, the text between `${{` and `}}`. Raises ExpressionInvalid.

    `names` are those in scope beside `NAMES`.
    """
    path = _plain_path(source, names)
    if path is not None:
        return Expression(source, path, None, names)
    if not source.strip():
        raise ExpressionInvalid(
            "expression-syntax", "the expression is empty", "Write one, or remove the braces."
        )
    if len(source) > LONGEST:
        message = f"the expression is longer than {LONGEST} characters"
        raise ExpressionInvalid("expression-syntax", message, "Do it in a `script` node.")
    try:
        program = _environment(names).compile(source)
    except (RuntimeError, TypeError, UnicodeError) as error:
        raise invalid(str(error), source, [*NAMES, *sorted(names)], _function_names()) from error
    if "optional" in program.return_type().name():
        hint = "Say what to take instead: add .orValue(null)."
        raise ExpressionInvalid("expression-type", "the expression gives an optional value", hint)
    return Expression(source, None, program, names)


def _plain_path(source: str, names: frozenset[str]) -> AccessPath | None:
    match = _PLAIN_PATH.fullmatch(source)
    if match is None or (match[1] not in NAMES and match[1] not in names):
        return None
    steps = list(_STEP.finditer(match[2]))
    if any(step[1] in _NOT_A_FIELD for step in steps):
        return None
    return (match[1], *(step[step.lastindex or 0] for step in steps))


_Build = Callable[[Mapping[str, JSON]], JSON]


class Template:
    """Any JSON with `${{ … }}` in its texts. `reads` is what all of them can touch."""

    __slots__ = ("_build", "_value", "reads")

    def __init__(self, value: JSON, build: _Build | None, reads: frozenset[AccessPath]) -> None:
        self._value = value
        self._build = build
        self.reads = reads

    def evaluate(self, scope: Mapping[str, JSON]) -> JSON:
        """The value with every expression evaluated; parts without any are shared, not copied."""
        return self._value if self._build is None else self._build(scope)


def compile_template(value: JSON, names: frozenset[str] = NO_NAMES) -> Template:
    """A template of any JSON. Raises ExpressionInvalid; `line` and `column` are then within that expression.

    A text that is one expression keeps the expression's type; in mixed text the value is put in as text
    (text as it is, anything else as JSON). Keys are never templates.
    """
    compiler = _Compiler(names)
    build = compiler.builder(value)
    return Template(value, build, frozenset(compiler.reads))


def text_parts(text: str, names: frozenset[str] = NO_NAMES) -> Iterator[str | Expression]:
    """The text cut into plain text and compiled expressions. Raises ExpressionInvalid."""
    at = 0
    for piece in pieces(text):
        if not piece.closed:
            hint = "Close it with }}, and check that quotes come in pairs."
            raise ExpressionInvalid("expression-syntax", "the expression does not end", hint)
        if piece.start > at:
            yield text[at : piece.start]
        yield compile_expression(piece.source, names)
        at = piece.end
    if at < len(text):
        yield text[at:]


class _Compiler:
    """Gathers what a template reads while it is compiled."""

    def __init__(self, names: frozenset[str]) -> None:
        self.reads: set[AccessPath] = set()
        self._names = names

    def builder(self, value: JSON) -> _Build | None:
        """What makes the value from a scope, or None where it is constant."""
        if isinstance(value, str):
            return self._of_text(value) if OPENING in value else None
        if isinstance(value, dict):
            return self._of_container(value, value.items())
        return self._of_container(value, enumerate(value)) if isinstance(value, list) else None

    def _of_container(self, value: JSON, items: Iterable[tuple[str | int, JSON]]) -> _Build | None:
        builders = [(key, made) for key, one in items if (made := self.builder(one))]
        if not builders:
            return None

        def build(scope: Mapping[str, JSON]) -> JSON:
            made = value.copy()
            for key, one in builders:
                made[key] = one(scope)
            return made

        return build

    def _of_text(self, text: str) -> _Build:
        parts = list(text_parts(text, self._names))
        expressions = [part for part in parts if isinstance(part, Expression)]
        for expression in expressions:
            self.reads |= expression.reads
        if len(expressions) == 1 and not "".join(part for part in parts if isinstance(part, str)).strip():
            return _evaluation(expressions[0])
        built = [part if isinstance(part, str) else _evaluation(part) for part in parts]

        def build(scope: Mapping[str, JSON]) -> JSON:
            texts = [part if isinstance(part, str) else to_text(part(scope)) for part in built]
            return "".join(texts)

        return build


def _evaluation(expression: Expression) -> _Build:
    """What evaluates it; where it reads secrets, what it makes of them is noted with them."""
    if not any(path[0] == SECRETS for path in expression.reads):
        return expression.evaluate

    def build(scope: Mapping[str, JSON]) -> JSON:
        value = expression.evaluate(scope)
        secrets = scope.get(SECRETS)
        if isinstance(secrets, SecretValues):
            secrets.note(value, lambda others: expression.evaluate({**scope, SECRETS: others}))
        return value

    return build


_clock = threading.local()  # CEL calls its functions in the thread that evaluates


def _now() -> datetime:
    if _clock.now is None:
        raise ValueError("now() is not known here")
    return datetime.fromtimestamp(_clock.now, UTC)


@lru_cache(maxsize=64)
def _environment(names: frozenset[str]) -> Any:
    anything = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    variables = {
        name: cel.Type.DYN if name == "input" or name in names else anything for name in (*NAMES, *names)
    }
    if SECRETS in names:
        variables[SECRETS] = cel.Type.Map(cel.Type.STRING, cel.Type.STRING)
    return cel.NewEnv(
        variables=variables,
        # Not the bindings extension: a chain of cel.bind doubles a text thirty times over.
        extensions=[ext_encoders.ExtEncoders(), ext_optional.ExtOptional(), ext_math.ExtMath()],
        functions=[cel.FunctionDecl(name, _overloads(name)) for name in _function_names()],
    )


def _function_names() -> list[str]:
    return sorted({"now", *(function.name for function in FUNCTIONS)})


def _overloads(name: str) -> list[Any]:
    if name == "now":
        return [cel.Overload("weft_now", cel.Type.TIMESTAMP, [], impl=_now)]
    return [
        cel.Overload(
            f"weft_{name}_{'_'.join(takes)}{'_member' if member else ''}",
            _type(function.gives),
            [_type(one) for one in takes],
            is_member=member,
            impl=function.does,
        )
        for function in FUNCTIONS
        if function.name == name
        for takes in _variants(function)
        for member in ((False, True) if function.member else (False,))
    ]


_ANYTHING: Final = (
    "map",
    "list",
    "int",
    "uint",
    "double",
    "string",
    "bool",
    "null",
    "bytes",
    "timestamp",
    "duration",
)


def _variants(function: Function) -> list[tuple[str, ...]]:
    """An overload that takes any type is not found for mappings and lists: each type gets its own."""
    return [(one,) for one in _ANYTHING] if function.takes == ("any",) else [function.takes]


def _type(name: str) -> Any:
    kinds = cel.Type
    compound = {
        "any": kinds.DYN,
        "map": kinds.Map(kinds.DYN, kinds.DYN),
        "list": kinds.List(kinds.DYN),
        "strings": kinds.List(kinds.STRING),
        "ints": kinds.List(kinds.INT),
    }
    return compound[name] if name in compound else getattr(kinds, name.upper())
