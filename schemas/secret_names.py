"""Where secrets may be named in a pattern, and which are.

A kind of node says in its JSON Schema which of its keys may hold one (`x-secrets`: a list of keys of `with`, or
true for all): only what goes outside needs one. What others are given, and what they give, is kept in the journal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from schemas.access_paths import AccessPath
from schemas.expressions import ExpressionInvalid, compile_expression
from schemas.outline import Outline, Path, Text, outline
from schemas.pattern import JSON
from schemas.secret_text import NAME
from schemas.secret_values import SECRETS
from schemas.shape import schema_documents
from schemas.template_text import pieces

Wrong = tuple[str, str, str]
"""Code, message and hint."""


@lru_cache
def secret_keys(kind: str) -> tuple[str, ...]:
    """The keys of `with` in which a node of this kind may name secrets."""
    schema: JSON = schema_documents().get(f"nodes/{kind}", {})
    written = schema.get("x-secrets", ())
    return tuple(schema["properties"]["with"]["properties"]) if written is True else tuple(written)


def may_name_secrets(text: Text, reader: Outline | None) -> bool:
    """Whether this text of a node may."""
    if reader is None:
        return False
    depth = len(reader.path)
    return text.path[depth : depth + 1] == ("with",) and text.path[depth + 1] in secret_keys(reader.uses)


def wrong_secret(read: AccessPath, text: Text, reader: Outline | None) -> Wrong | None:
    """What is wrong with a path that begins with `secrets`."""
    if not may_name_secrets(text, reader):
        return _misplaced(reader)
    if len(read) < 2:
        hint = "Write the name itself: secrets.API_KEY."
        return "secret-name-not-fixed", "which secret this reads is not known before it runs", hint
    if NAME.fullmatch(read[1]) is None:
        hint = "Write letters, digits and underscores, at most 100: secrets.API_KEY."
        return "unknown-name", f'"{read[1]:.80}" cannot be the name of a secret', hint
    if len(read) > 2:
        hint = "Where it is JSON, write parseJson(secrets.NAME).key."
        return "unknown-name", f'a secret is text, so {read[1]:.80} has no "{read[2]:.80}"', hint
    return None


def _misplaced(reader: Outline | None) -> Wrong:
    keys = () if reader is None else secret_keys(reader.uses)
    if keys and reader is not None:
        hint = f"In `{reader.uses}` it may stand in {_listed(keys)}."
    else:
        hint = (
            "Use it in the node that needs it (http, sql, script…): what others are given and give is kept in"
            " the run's journal."
        )
    return "secret-not-allowed", "a secret cannot be named here", hint


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in keys[:-1]) + (" and " if keys[:-1] else "") + f"`{keys[-1]}`"


def secrets_of_pattern(spec: Mapping[str, JSON]) -> frozenset[str]:
    """The names of all secrets that the expressions of a pattern read; connections have theirs besides."""
    return frozenset(secret_places(spec))


def secret_places(spec: Mapping[str, JSON]) -> dict[str, Path]:
    """The same with the place of the text in which each is named first. `spec` may have mistakes."""
    places: dict[str, Path] = {}
    for name, path in _named(outline(spec.get("nodes"), ("spec", "nodes")), frozenset({SECRETS})):
        places.setdefault(name, path)
    return places


def _named(nodes: Sequence[Outline], names: frozenset[str]) -> Iterator[tuple[str, Path]]:
    for node in nodes:
        for text in node.texts:
            if SECRETS in text.text and may_name_secrets(text, node):
                for name in _names_in(text.text, names):
                    yield name, text.path
        for key, block in node.blocks.items():
            yield from _named(block, names | node.names[key])


def _names_in(text: str, names: frozenset[str]) -> Iterator[str]:
    for piece in pieces(text):
        try:
            reads = compile_expression(piece.source, names).reads if piece.closed else frozenset()
        except ExpressionInvalid:
            continue
        yield from sorted(read[1] for read in reads if read[0] == SECRETS and len(read) > 1)
