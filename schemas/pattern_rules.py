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
from schemas.quantities import size_in_bytes
from schemas.schedules import check_cron, check_timezone
from schemas.shape import node_kinds
from schemas.template_text import OPENING
from schemas.verification_rules import verify_mistakes

LARGEST_BODY: Final = 16 * 1024 * 1024
_MOST_SCHEDULES: Final = 100  # as the JSON Schema has it


def pattern_mistakes(spec: Mapping[str, JSON]) -> Iterator[Mistake]:
    """All mistakes of a pattern's `spec`, whatever shape it has."""
    on = spec.get("on")
    if isinstance(on, dict):
        yield from schedule_mistakes(on.get("schedule"), ("spec", "on", "schedule"))
        yield from _webhook_mistakes(on.get("webhook"), ("spec", "on", "webhook"))
    for key in ("input", "outputSchema"):
        if isinstance(spec.get(key), dict | bool):
            yield from schema_mistakes(spec[key], ("spec", key))
    nodes = outline(spec.get("nodes"), ("spec", "nodes"))
    everywhere = {node.id: node for node in reversed(list(all_nodes(nodes))) if node.id}
    yield from _duplicate_ids(nodes)
    yield from data_mistakes(all_nodes(nodes))
    yield from flow_mistakes(all_nodes(nodes), spec.get("timeout"))
    variables = spec.get("variables")
    scope = Scope(View(None, {}, 0), variables if isinstance(variables, dict) else {}, everywhere)
    yield from _list_mistakes(nodes, views(nodes, None)[0], scope)
    yield from _output_mistakes(spec.get("output"), nodes, scope)


def schedule_mistakes(listed: JSON, at: Path) -> Iterator[Mistake]:
    """Cron lines and time zones of a list of schedules, as patterns and deployments have it."""
    for index, one in enumerate(listed[:_MOST_SCHEDULES] if isinstance(listed, list) else ()):
        if not isinstance(one, dict):
            continue
        cron, timezone = one.get("cron"), one.get("timezone")
        wrong = check_cron(cron) if isinstance(cron, str) else None
        if wrong:
            hint = 'Write minute, hour, day, month and weekday, such as "0 9 * * MON-FRI".'
            yield Mistake(path=(*at, index, "cron"), code="invalid-cron", message=wrong, hint=hint)
        wrong = check_timezone(timezone) if isinstance(timezone, str) else None
        if wrong:
            hint = "Write a name of the IANA database, such as UTC or Europe/Berlin."
            yield Mistake(path=(*at, index, "timezone"), code="unknown-timezone", message=wrong, hint=hint)


def _webhook_mistakes(webhook: JSON, at: Path) -> Iterator[Mistake]:
    if isinstance(webhook, dict):
        yield from _body_size(webhook.get("maxBody"), (*at, "maxBody"))
        yield from verify_mistakes(webhook.get("verify"), (*at, "verify"))


def _body_size(written: JSON, path: Path) -> Iterator[Mistake]:
    if not isinstance(written, str):
        return
    try:
        size = size_in_bytes(written)
    except ValueError:
        return  # the JSON Schema says so
    if size > LARGEST_BODY:
        message = f'"maxBody" cannot be {written}'
        yield Mistake(path=path, code="invalid-value", message=message, hint="Write at most 16MiB.")


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
