"""What must hold within one pattern beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from schemas.data_rules import data_mistakes, path_mistakes
from schemas.flow_rules import flow_mistakes
from schemas.json_schemas import schema_mistakes
from schemas.mistakes import Mistake
from schemas.naming import Scope, text_mistakes
from schemas.order import View, order_mistakes, views
from schemas.outline import EVENT_NAMES, Outline, Path, Text, all_nodes, outline, texts_in
from schemas.pattern import JSON
from schemas.schedule_rules import schedule_mistakes
from schemas.shape import node_kinds
from schemas.template_text import OPENING
from schemas.webhook_rules import answer_mistakes, webhook_mistakes

WEBHOOK: Final = ("spec", "on", "webhook")


def pattern_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a pattern's `spec`, whatever shape it has."""
    on = spec.get("on")
    if isinstance(on, dict):
        yield from schedule_mistakes(on.get("schedule"), ("spec", "on", "schedule"))
        yield from webhook_mistakes(on.get("webhook"), WEBHOOK)
    for key in ("input", "outputSchema"):
        if isinstance(spec.get(key), dict | bool):
            yield from schema_mistakes(spec[key], ("spec", key))
    nodes = outline(spec.get("nodes"), ("spec", "nodes"))
    everywhere = {node.id: node for node in reversed(list(all_nodes(nodes))) if node.id}
    yield from _duplicate_ids(nodes)
    yield from data_mistakes(all_nodes(nodes))
    yield from flow_mistakes(all_nodes(nodes), spec.get("timeout"))
    yield from answer_mistakes(on.get("webhook") if isinstance(on, dict) else None, nodes, WEBHOOK)
    variables = spec.get("variables")
    scope = Scope(View(None, {}, 0), variables if isinstance(variables, dict) else {}, everywhere)
    yield from _list_mistakes(nodes, views(nodes, None)[0], scope)
    yield from _output_mistakes(spec.get("output"), nodes, scope)


def _duplicate_ids(nodes: Sequence[Outline]) -> Iterator[Mistake]:
    seen: set[str] = set()
    for node in all_nodes(nodes):
        if node.id in seen:
            message = f'there are two nodes "{node.id}"'
            hint = "Ids are unique in the whole pattern, also in nested lists: rename one."
            yield Mistake(path=(*node.path, "id"), code="duplicate-node", message=message, hint=hint)
        elif node.id:
            seen.add(node.id)


def _list_mistakes(nodes: Sequence[Outline], each: Sequence[View], scope: Scope) -> Iterator[Mistake]:
    yield from order_mistakes(nodes, scope.everywhere)
    for node, view in zip(nodes, each, strict=True):
        yield from _fixed_texts(node)
        here = Scope(view, scope.variables, scope.everywhere, node)
        for text in _with_names_of_any_kind(node):
            if text.path[-2] != "with" or text.path[-1] not in FIXED.get(node.uses, ()):
                yield from text_mistakes(text, here)
        for key, block in node.blocks.items():
            inside, _ = views(block, view, node.names[key])
            yield from _list_mistakes(block, inside, scope)


def _with_names_of_any_kind(node: Outline) -> Iterator[Text]:
    """The node's texts. Where its kind is mistyped, a name that only some kind brings is no second mistake."""
    known = node.uses in node_kinds()
    for text in node.texts:
        yield text if known else replace(text, names=text.names | EVENT_NAMES)


def _output_mistakes(output: JSON, nodes: Sequence[Outline], scope: Scope) -> Iterator[Mistake]:
    _, after = views(nodes, None)
    here = Scope(after, scope.variables, scope.everywhere)
    for text in texts_in(output, ("spec", "output")):
        yield from text_mistakes(text, here)


# What is frozen with the version, or is a program: no value may be put into it.
FIXED: Final[Mapping[str, tuple[str, ...]]] = {
    "script": ("file", "code", "function"),
    "call": ("pattern",),
    "sql": ("query",),
}


def _fixed_texts(node: Outline) -> Iterator[Mistake]:
    inputs = node.inputs if isinstance(node.inputs, dict) else {}
    for key in FIXED.get(node.uses, ()):
        value, path = inputs.get(key), (*node.path, "with", key)
        if isinstance(value, str) and OPENING in value:
            message = f'"{key}" is fixed with the version and cannot hold an expression'
            hint = f"Hand the value over in `{'params' if node.uses == 'sql' else 'input'}`."
            yield Mistake(path=path, code="template-not-allowed", message=message, hint=hint)
        elif isinstance(value, str) and key == "file":
            yield from path_mistakes(value, path)
    yield from _keys_with_templates(inputs, (*node.path, "with"))


def _keys_with_templates(value: JSON, at: Path) -> Iterator[Mistake]:
    if isinstance(value, dict):
        for key, one in value.items():
            if OPENING in key:
                message = "a key cannot hold an expression"
                hint = "Write a fixed key; a whole mapping can come from one expression: ${{ {…} }}."
                path = (*at, key)
                yield Mistake(path=path, at_key=True, code="template-not-allowed", message=message, hint=hint)
            yield from _keys_with_templates(one, (*at, key))
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _keys_with_templates(one, (*at, index))
