"""What tests need of the patterns that they try: that every node and variable they name is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from schemas.documents import Document
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON, Node, Pattern
from schemas.problems import Problem
from schemas.references import Reference


def problems_of_test(test: Document, patterns: Mapping[str, Document]) -> Iterator[Problem]:
    """Of a test whose pattern is one of `patterns`."""
    tried = patterns[test.spec["pattern"]].typed
    assert isinstance(tried, Pattern)
    for reference in test.references:
        if reference.kind == "node":
            wrong = node_fault(tried, reference.name, patterns)
        elif reference.kind == "variable" and reference.name not in tried.variables:
            message = f'{tried.name} has no variable "{reference.name}"'
            wrong = "unknown-variable", message, did_you_mean(reference.name, tried.variables)
        else:
            continue
        if wrong:
            yield _problem(test.path, reference, *wrong)


def node_fault(pattern: Pattern, path: str, patterns: Mapping[str, Document]) -> tuple[str, str, str] | None:
    """Code, message and hint for the path of a node that leads nowhere: `tell`, or `tell/chat` through a call."""
    first, _, rest = path.partition("/")
    nodes = {node.id: node for node in all_nodes(pattern.nodes)}
    if first not in nodes:
        message = f'{pattern.name} has no node "{first}"'
        return "unknown-node", message, did_you_mean(first, nodes)
    if not rest:
        return None
    node = nodes[first]
    if node.uses != "call":
        message = f'"{first}" of {pattern.name} is a {node.uses}, so there is no "{rest}" behind it'
        return "unknown-node", message, "Only a `call` has nodes of another pattern behind it."
    called = _called(node.with_, patterns)
    return None if called is None else node_fault(called, rest, patterns)


def _called(inputs: JSON, patterns: Mapping[str, Document]) -> Pattern | None:
    """None where it is not known here: a frozen version, or a pattern with problems of its own."""
    document = patterns.get(inputs["pattern"]) if "version" not in inputs else None
    return document.typed if document is not None and isinstance(document.typed, Pattern) else None


def all_nodes(nodes: tuple[Node, ...]) -> Iterator[Node]:
    """Every node, also nested, in the order of the text."""
    for node in nodes:
        yield node
        for block in node.blocks.values():
            yield from all_nodes(block)


def _problem(path: str, at: Reference, code: str, message: str, hint: str) -> Problem:
    return Problem(path=path, line=at.line, column=at.column, code=code, message=message, hint=hint)
