"""Filling `${{ params.… }}` in: whatever a value holds, it stays a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas.functions import to_text
from schemas.outline import Path, all_nodes, outline, texts_in
from schemas.pattern import JSON
from schemas.pattern_rules import FIXED
from schemas.template_text import OPENING, Piece, pieces

ROOT: Final = "params"

# Strings and comments of CEL are stepped over; a name counts where it is not a field of something else.
_WORD: Final = re.compile(
    r"[bB]?[rR](?:'''[\s\S]*?(?:'''|\Z)|\"\"\"[\s\S]*?(?:\"\"\"|\Z)|'[^'\n]*+'?|\"[^\"\n]*+\"?)"
    r"|'''(?:\\[\s\S]|[^\\])*?(?:'''|\Z)|\"\"\"(?:\\[\s\S]|[^\\])*?(?:\"\"\"|\Z)"
    r"|'(?:\\.|[^'\\\n])*+'?|\"(?:\\.|[^\"\\\n])*+\"?"
    r"|//[^\n]*"
    r"|(?P<before>\.\s*\??\s*)?(?P<name>[A-Za-z_][A-Za-z_0-9]*)"
    r"|[0-9][A-Za-z_0-9]*"
)
_STEP: Final = re.compile(
    r"\s*\.\s*(?P<field>[A-Za-z_][A-Za-z_0-9]*)(?!\s*\(|[A-Za-z_0-9])"
    r"|\s*\[\s*(?:'(?P<single>[^'\\\n]*)'|\"(?P<double>[^\"\\\n]*)\")\s*\]"
)
_UNPRINTABLE: Final = re.compile(
    r"[^ -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


class Standing(StrEnum):
    """What becomes of a text at run time."""

    PLAIN = "plain"  # it stays as it is
    EVALUATED = "evaluated"  # its expressions are evaluated
    CONDITION = "condition"  # it is one expression


@dataclass(frozen=True, kw_only=True)
class Mention:
    """`params.a.b` in an expression: the names behind `params`, and where it stands in the source."""

    steps: tuple[str, ...]
    start: int
    end: int


def mentions(source: str) -> Iterator[Mention]:
    """Every place of an expression that names parameters."""
    at = 0
    while word := _WORD.search(source, at):
        at = word.end()
        if word["name"] != ROOT or word["before"]:
            continue
        steps, start = [], word.start()
        while step := _STEP.match(source, at):
            steps.append(next(one for one in step.groups() if one is not None))
            at = step.end()
        yield Mention(steps=tuple(steps), start=start, end=at)


def mentioned(text: str) -> list[Mention]:
    """Every mention in all expressions of a text; places are those within their expressions."""
    return [mention for piece in pieces(text) for mention in mentions(piece.source)]


def standings(spec: Mapping[str, JSON]) -> dict[Path, Standing]:
    """Where a pattern's `spec` has texts with expressions; all others are plain."""
    nodes = list(all_nodes(outline(spec.get("nodes"), ("nodes",))))
    texts = [(text, node.uses) for node in nodes for text in node.texts]
    found = {
        text.path: Standing.CONDITION if text.condition else Standing.EVALUATED
        for text, uses in texts
        if text.path[-1] not in FIXED.get(uses, ())
    }
    return found | {text.path: Standing.EVALUATED for text in texts_in(spec.get("output"), ("output",))}


def filled(value: JSON, params: Mapping[str, JSON], standing: Mapping[Path, Standing], at: Path = ()) -> JSON:
    """The value with every parameter that its texts name put in. Keys are left alone."""
    if isinstance(value, str):
        return filled_text(value, params, standing.get(at, Standing.PLAIN))
    if isinstance(value, dict):
        return {key: filled(one, params, standing, (*at, key)) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, params, standing, (*at, index)) for index, one in enumerate(value)]
    return value


def filled_text(text: str, params: Mapping[str, JSON], standing: Standing) -> JSON:
    """One text filled in. Where it is nothing but one parameter, the value keeps its type."""
    found = list(pieces(text))
    if not any(piece.closed and any(mentions(piece.source)) for piece in found):
        return text
    if len(found) == 1 and not (text[: found[0].start] + text[found[0].end :]).strip():
        value = _only(found[0], params)
        if value is not None and standing is not Standing.CONDITION:
            return _as_expression(value[0]) if standing is Standing.EVALUATED else value[0]
    made, at = "", 0
    for old, new in filled_pieces(text, params, standing):
        start = text.index(old, at)
        made += text[at:start] + new
        at = start + len(old)
    return made + text[at:]


def filled_pieces(text: str, params: Mapping[str, JSON], standing: Standing) -> list[tuple[str, str]]:
    """Every expression of a mixed text with what stands there instead."""
    made, at, changes = "", 0, []
    for piece in pieces(text):
        made += text[at : piece.start]
        new = _put(piece, params, (made[-2:], text[piece.end : piece.end + 2]), standing)
        changes.append((text[piece.start : piece.end], new))
        made += new
        at = piece.end
    return changes


def filling_size(value: JSON, params: Mapping[str, JSON]) -> int:
    """An upper bound of what filling in adds, in characters."""
    sizes = {name: len(literal(one)) for name, one in params.items()}
    every = (mention for text in texts_in(value, ()) for mention in mentioned(text.text))
    return sum(sizes.get(one.steps[0], 0) if one.steps else sum(sizes.values()) for one in every)


def literal(value: JSON) -> str:
    """The value in CEL."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, str):
        quoted = json.dumps(value, ensure_ascii=False).replace(OPENING, "\\u0024{{")
        return _UNPRINTABLE.sub(lambda one: f"\\U{ord(one[0]):08x}", quoted)
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return f"({value!r})"
    return json.dumps(value)


def _only(piece: Piece, params: Mapping[str, JSON]) -> tuple[JSON] | None:
    """The value of an expression that is nothing but a parameter."""
    mention = next(mentions(piece.source), None)
    if mention is None or piece.source.strip() != piece.source[mention.start : mention.end]:
        return None
    value, left = _value(mention, params)
    return None if left else (value,)


def _value(mention: Mention, params: Mapping[str, JSON]) -> tuple[JSON, tuple[str, ...]]:
    """As far as the names lead, and those that lead nowhere: fields that only exist at run time."""
    value: JSON = params
    for number, step in enumerate(mention.steps):
        if not isinstance(value, Mapping) or step not in value:
            return value, mention.steps[number:]
        value = value[step]
    return value, ()


def _as_expression(value: JSON) -> JSON:
    """A value that holds what looks like an expression is put in as one that gives it."""
    return f"${{{{ {literal(value)} }}}}" if _looks_like_one(value) else value


def _looks_like_one(value: JSON) -> bool:
    if isinstance(value, Mapping):
        return any(OPENING in key or _looks_like_one(one) for key, one in value.items())
    if isinstance(value, list):
        return any(map(_looks_like_one, value))
    return isinstance(value, str) and OPENING in value


def _put(piece: Piece, params: Mapping[str, JSON], around: tuple[str, str], standing: Standing) -> str:
    """A piece of mixed text: a parameter as text, a longer expression with the values as literals."""
    value = None if standing is Standing.CONDITION else _only(piece, params)
    if value is None:
        return _with_literals(piece, params)
    text, (before, after) = to_text(value[0]), around
    if standing is Standing.PLAIN or OPENING not in before + text + after:
        return text
    return f"${{{{ {literal(text)} }}}}"


def _with_literals(piece: Piece, params: Mapping[str, JSON]) -> str:
    if not piece.closed:
        return OPENING + piece.source
    made, at = "", 0
    for mention in mentions(piece.source):
        value, left = _value(mention, params)
        made += piece.source[at : mention.start] + literal(value)
        made += "".join(f"[{literal(step)}]" for step in left)
        at = mention.end
    return f"${{{{{made}{piece.source[at:]}}}}}"
