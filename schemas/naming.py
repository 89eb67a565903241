"""What expressions may name where they stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.access_paths import AccessPath
from schemas.expressions import NAMES, Expression, ExpressionInvalid, compile_expression
from schemas.mistakes import Mistake, Spot, did_you_mean
from schemas.order import View
from schemas.outline import Outline, Path, Text
from schemas.secret_names import wrong_secret
from schemas.secret_values import SECRETS
from schemas.template_text import Piece, pieces

FIELDS: Final[Mapping[str, frozenset[str]]] = {
    "trigger": frozenset(
        {
            *("kind", "time", "body", "headers", "query", "method", "path", "address", "verified"),
            *("receivedAt", "error", "run", "schedule", "backfill"),
        }
    ),
    "run": frozenset({"id", "attempt", "startedAt"}),
    "deployment": frozenset({"name", "environment"}),
    "version": frozenset({"number", "commit"}),
    "error": frozenset({"type", "message", "node", "hint", "retryable"}),
    "event": frozenset({"name", "body", "actor"}),
}
"""The names in scope whose fields are fixed."""

_WHOLE: Final = re.compile(r"\s*\$\{\{.*\}\}\s*", re.DOTALL)
_CONDITION_HINT: Final = "Write one expression that is true or false: ${{ trigger.body.total > 100 }}."


@dataclass(frozen=True, slots=True)
class Scope:
    """What can be named at a place. `reader`: the node that the text belongs to, None for the output."""

    view: View
    variables: Collection[str]
    everywhere: Mapping[str, Outline]
    reader: Outline | None = None


def text_mistakes(text: Text, scope: Scope) -> Iterator[Mistake]:
    """What is wrong with the expressions of a text."""
    if text.condition and not _WHOLE.fullmatch(text.text):
        return  # the JSON Schema says so
    found = list(pieces(text.text))
    if text.condition and not _is_one_expression(text.text, found):
        message = f'"{text.path[-1]}" is not one expression'
        yield Mistake(path=text.path, code="condition-not-expression", message=message, hint=_CONDITION_HINT)
    for nth, piece in enumerate(found):
        yield from _piece_mistakes(text, nth, piece, scope)


def early_mistakes(text: str, path: Path, known: frozenset[str], when: str) -> Iterator[Mistake]:
    """Of a text with expressions that is evaluated before a run is there; `known` are the names that it may read,
    `when` says for messages when that is.
    """
    for nth, piece in enumerate(pieces(text)):
        if not piece.closed:
            yield _unclosed(path, piece, nth)
            return
        try:
            expression = compile_expression(piece.source, known.difference(NAMES) | {SECRETS})
        except ExpressionInvalid as error:
            yield _invalid(path, piece, nth, error)
            continue
        for root in sorted({read[0] for read in expression.reads} - known):
            message, code = f'"{root}" is not known yet when {when}', "unknown-name"
            if root == SECRETS:
                message, code = "a secret cannot be named here: what it gives is kept", "secret-not-allowed"
            hint = f"Read {_listed(sorted(known))}."
            yield Mistake(path=path, code=code, message=message, hint=hint)


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _unclosed(path: Path, piece: Piece, nth: int) -> Mistake:
    spot = Spot(source=piece.source, nth=nth, line=1, column=1)
    hint = "Close it with }}, and check that quotes come in pairs."
    message = "the expression does not end"
    return Mistake(path=path, spot=spot, code="expression-syntax", message=message, hint=hint)


def _invalid(path: Path, piece: Piece, nth: int, error: ExpressionInvalid) -> Mistake:
    spot = Spot(source=piece.source, nth=nth, line=error.line, column=error.column)
    return Mistake(path=path, spot=spot, code=error.code, message=error.message, hint=error.hint)


def _is_one_expression(text: str, found: list[Piece]) -> bool:
    if len(found) != 1:
        return False
    return not (text[: found[0].start] + text[found[0].end :]).strip()


def _piece_mistakes(text: Text, nth: int, piece: Piece, scope: Scope) -> Iterator[Mistake]:
    if not piece.closed:
        yield _unclosed(text.path, piece, nth)
        return
    names = scope.view.values | text.names
    if SECRETS in piece.source:
        names |= {SECRETS}  # known, so that it can be said where it may stand
    try:
        expression = compile_expression(piece.source, names)
    except ExpressionInvalid as error:
        yield _invalid(text.path, piece, nth, error)
        return
    if text.condition and expression.gives not in {"bool", "dyn"}:
        message = f'"{text.path[-1]}" gives {expression.gives}, not true or false'
        yield Mistake(path=text.path, code="condition-not-expression", message=message, hint=_CONDITION_HINT)
    for read in sorted(expression.reads):
        wrong = wrong_secret(read, text, scope.reader) if read[0] == SECRETS else _read_mistake(read, scope)
        if wrong:
            code, message, hint = wrong
            yield Mistake(
                path=text.path, spot=_spot(expression, nth, read), code=code, message=message, hint=hint
            )


def _read_mistake(read: AccessPath, scope: Scope) -> tuple[str, str, str] | None:
    """Code, message and hint for a path that leads nowhere."""
    if len(read) < 2:
        return None
    root, name = read[0], read[1]
    if root == "nodes":
        return None if scope.view.sees(name) else _unseen(name, scope)
    if root == "vars" and name not in scope.variables:
        near = did_you_mean(name, scope.variables) if scope.variables else ""
        hint = near if near.startswith("Did") else f"Declare a default: variables: {{{name}: …}}."
        return "unknown-variable", f'the variable "{name}" is not declared', hint
    if root in FIELDS and name not in FIELDS[root]:
        return "unknown-name", f'{root} has no "{name}"', did_you_mean(name, FIELDS[root])
    return None


def _unseen(name: str, scope: Scope) -> tuple[str, str, str]:
    target, reader = scope.everywhere.get(name), scope.reader
    if target is None:
        names = set(scope.view.names())
        hint = did_you_mean(name, names) if names else "No node runs before this one."
        return "unknown-node", f'there is no node "{name}"', hint
    if reader is not None and target.path == reader.path:
        message = f'"{name}" cannot read its own output'
        return "node-not-before", message, "Read the output of a node that runs before it."
    holder = _holder(target, scope)
    if holder is not None:
        message = f'"{name}" stands inside "{holder.id}" and is not visible outside'
        hint = f"Read nodes.{holder.id}, what it gives as a whole"
        after = "." if scope.view.sees(holder.id) else f', in a node that runs after "{holder.id}".'
        return "node-not-before", message, hint + after
    hint = "Move it before this one" + (f', or add "{name}" to `needs`.' if reader is not None else ".")
    return "node-not-before", f'"{name}" does not run before this', hint


def _holder(target: Outline, scope: Scope) -> Outline | None:
    """The outermost container that the target stands in and the reader does not."""
    reader = scope.reader.path if scope.reader is not None else ()
    for length in range(1, len(target.path)):
        start = target.path[:length]
        holder = next((one for one in scope.everywhere.values() if one.path == start), None)
        if holder is not None and reader[:length] != start:
            return holder
    return None


def _spot(expression: Expression, nth: int, read: AccessPath) -> Spot:
    source, root, name = expression.source, read[0], read[-1] if len(read) == 1 else read[1]
    pattern = rf"\b{re.escape(root)}\s*(?:\.\??\s*{re.escape(name)}\b|\[\??\s*['\"]{re.escape(name)}['\"])"
    match = re.search(pattern, source) or re.search(rf"\b{re.escape(root)}\b", source)
    before = source[: match.start()] if match else ""
    line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
    return Spot(source=source, nth=nth, line=line, column=column)
