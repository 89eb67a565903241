"""A frozen pattern made ready to run: order as edges, expressions compiled. Once per version and process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from schemas.expressions import Template, compile_template
from schemas.pattern import Node, Pattern

LIGHT = frozenset({"set", "log", "branch", "fail", "stop"})
"""Kinds without effect outside the run: many such runs share a thread and a commit."""

WITHOUT_EFFECT = LIGHT | {"delay", "call"}
"""Kinds that may be performed before the journal is durable: what they start is written with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One node in its place. `path` joins the ids from the outermost container with `/`.

    `after` are the positions, in the same block, of the nodes that have to be settled before it. One with an
    `effect` may be performed only when the journal is durable.
    """

    node: Node
    path: str
    after: tuple[int, ...]
    inputs: Template
    when: Template | None
    blocks: Mapping[str, Block]
    effect: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A list of nodes; its output is that of the last one. `in_order`: each node waits for the one before.

    `path` is that of its container with the block's name, and empty for the pattern's own list.
    """

    path: str
    steps: tuple[Step, ...]
    in_order: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    pattern: Pattern
    root: Block
    output: Template | None
    light: bool
    by_path: Mapping[str, Step] = field(repr=False)


def compile_pattern(pattern: Pattern) -> Program:
    root = _block(pattern.nodes, "", "")
    by_path = {step.path: step for step in _all(root)}
    return Program(
        pattern=pattern,
        root=root,
        output=None if pattern.output is None else compile_template(pattern.output),
        light=all(step.node.uses in LIGHT for step in by_path.values()),
        by_path=by_path,
    )


def _block(nodes: tuple[Node, ...], prefix: str, path: str) -> Block:
    positions = {node.id: position for position, node in enumerate(nodes)}
    steps = tuple(_step(node, at, positions, prefix) for at, node in enumerate(nodes))
    in_order = all(step.after == ((at - 1,) if at else ()) for at, step in enumerate(steps))
    return Block(path=path, steps=steps, in_order=in_order)


def _step(node: Node, at: int, positions: Mapping[str, int], prefix: str) -> Step:
    path = prefix + node.id
    before = (at - 1,) if at else ()
    return Step(
        node=node,
        path=path,
        after=before if node.needs is None else tuple(positions[need] for need in node.needs),
        inputs=compile_template(node.with_),
        when=None if node.when is None else compile_template(node.when),
        blocks={name: _block(nested, f"{path}/", f"{path}/{name}") for name, nested in node.blocks.items()},
        effect=node.uses not in WITHOUT_EFFECT,
    )


def _all(block: Block) -> Iterator[Step]:
    for step in block.steps:
        yield step
        for nested in step.blocks.values():
            yield from _all(nested)
