"""A frozen pattern made ready to run: order as edges, expressions compiled. Once per version and process."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from schemas.expressions import NO_NAMES, Template, compile_template
from schemas.outline import ERROR_NAMES, EVENT_NAMES, ROUND_NAMES, names_in_block
from schemas.pattern import FLOW_KEYS, JSON, BlockKey, Node, OnError, Pattern
from schemas.secret_names import secret_keys
from schemas.secret_values import SECRETS
from schemas.template_text import OPENING
from store.spans import SpanStatus

LOOPS: Final = frozenset({"for-each", "repeat"})

WITHOUT_EFFECT: Final = frozenset(
    {
        *FLOW_KEYS,  # the containers
        "set",
        "log",
        "parse",
        "format",
        "validate",
        "fail",
        "stop",
        "delay",
        "call",
        "wait",
        "approve",
        "respond",
    }
)
"""Kinds that may be performed before the journal is durable: what they start is written with it."""

LIGHT: Final = WITHOUT_EFFECT - LOOPS - {"delay", "call", "wait", "approve"}
"""Kinds that are over in no time: many runs of nothing else share a thread and a commit."""

POSTED_TO: Final = frozenset({"wait", "approve"})
"""Kinds that look again whenever the run goes on; all others that wait have a timer, or a called run."""

_LATER: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    "repeat": {"while": ROUND_NAMES, "until": ROUND_NAMES},
    "wait": {"match": EVENT_NAMES},
}
"""Conditions that are evaluated again and again, and what can be named in them besides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One node in its place. `path` joins the ids from the outermost container with `/`.

    `after` are the positions, in the same block, of the nodes that have to be settled before it. One with an
    `effect` may be performed only when the journal is durable. `later` are the conditions that are evaluated
    again and again: `while`, `until`, `match`, and `retry` (its `when`). `secret`: nothing that it gives is shown,
    nor what is in it. `secrets` are the names of those that its inputs read; `connects`: it names a connection.
    `passes` are the ends with which the order goes on behind it.
    """

    node: Node
    path: str
    after: tuple[int, ...]
    inputs: Template
    when: Template | None
    later: Mapping[str, Template]
    blocks: Mapping[BlockKey, Block]
    effect: bool
    secret: bool
    secrets: tuple[str, ...]
    connects: bool
    passes: tuple[SpanStatus, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A list of nodes; its output is that of the last one. `in_order`: each node waits for the one before.

    `followers` are, for each node of a graph, the positions of those that wait for it.
    """

    steps: tuple[Step, ...]
    in_order: bool
    followers: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """`light`: there is nothing in it but light nodes. `by_path` has every node, by its path in the pattern.

    `secrets` and `connections` are all that its nodes name, as far as these names are fixed.
    """

    pattern: Pattern
    root: Block
    output: Template | None
    light: bool
    by_path: Mapping[str, Step] = field(repr=False)
    secrets: frozenset[str] = frozenset()
    connections: frozenset[str] = frozenset()


def compile_pattern(pattern: Pattern) -> Program:
    root = _block(pattern.nodes, "", NO_NAMES, secret=False)
    by_path = {step.path: step for step in _all(root)}
    return Program(
        pattern=pattern,
        root=root,
        output=None if pattern.output is None else compile_template(pattern.output),
        light=all(step.node.uses in LIGHT for step in by_path.values()),
        by_path=by_path,
        secrets=frozenset(name for step in by_path.values() for name in step.secrets),
        connections=frozenset(filter(None, map(_connection, by_path.values()))),
    )


def _connection(step: Step) -> str | None:
    named = step.node.with_.get("connection") if isinstance(step.node.with_, dict) else None
    return named if isinstance(named, str) and OPENING not in named else None


def _block(nodes: tuple[Node, ...], prefix: str, names: frozenset[str], *, secret: bool) -> Block:
    positions = {node.id: position for position, node in enumerate(nodes)}
    steps = tuple(
        _step(node, prefix + node.id, _after(node, at, positions), names, secret=secret or node.secret)
        for at, node in enumerate(nodes)
    )
    in_order = all(step.after == ((at - 1,) if at else ()) for at, step in enumerate(steps))
    return Block(steps=steps, in_order=in_order, followers=() if in_order else _followers(steps))


def _after(node: Node, at: int, positions: Mapping[str, int]) -> tuple[int, ...]:
    if node.needs is not None:
        return tuple(positions[need] for need in dict.fromkeys(node.needs))
    return (at - 1,) if at else ()


def _followers(steps: Sequence[Step]) -> tuple[tuple[int, ...], ...]:
    following: list[list[int]] = [[] for _ in steps]
    for at, step in enumerate(steps):
        for before in step.after:
            following[before].append(at)
    return tuple(map(tuple, following))


def _step(node: Node, path: str, after: tuple[int, ...], names: frozenset[str], *, secret: bool) -> Step:
    later = _LATER.get(node.uses, {})
    inputs = node.with_
    if later and isinstance(inputs, dict):
        inputs = {key: value for key, value in inputs.items() if key not in later}
    template = compile_template(inputs, names | {SECRETS} if _may_read_secrets(node.uses, inputs) else names)
    return Step(
        node=node,
        path=path,
        after=after,
        inputs=template,
        when=None if node.when is None else compile_template(node.when, names),
        later=_later(node, later, names),
        blocks={
            key: _block(nested, f"{path}/", names | _names(node, key), secret=secret)
            for key, nested in node.blocks.items()
        },
        effect=node.uses not in WITHOUT_EFFECT,
        secret=secret,
        secrets=tuple(sorted({read[1] for read in template.reads if read[0] == SECRETS and len(read) > 1})),
        connects=isinstance(node.with_, dict) and "connection" in node.with_,
        passes=_passes(node),
    )


def _may_read_secrets(kind: str, inputs: JSON) -> bool:
    """Only then they are a name that is known: most patterns share what is compiled without."""
    return SECRETS.encode() in orjson.dumps(inputs) and bool(secret_keys(kind))


def _passes(node: Node) -> tuple[SpanStatus, ...]:
    if node.uses == "stop":
        passes: tuple[SpanStatus, ...] = (SpanStatus.SKIPPED,)
    else:
        passes = (SpanStatus.COMPLETED, SpanStatus.SKIPPED)
    return (*passes, SpanStatus.FAILED) if node.on_error is OnError.CONTINUE else passes


def _later(
    node: Node, conditions: Mapping[str, frozenset[str]], names: frozenset[str]
) -> dict[str, Template]:
    written = node.with_ if isinstance(node.with_, dict) else {}
    compiled = {
        key: compile_template(written[key], names | more)
        for key, more in conditions.items()
        if key in written
    }
    if node.retry is not None and node.retry.when is not None:
        compiled["retry"] = compile_template(node.retry.when, names | ERROR_NAMES)
    return compiled


def _names(node: Node, block: BlockKey) -> frozenset[str]:
    return names_in_block({"uses": node.uses, **(node.with_ or {})}, block)


def _all(block: Block) -> Iterator[Step]:
    for step in block.steps:
        yield step
        for nested in step.blocks.values():
            yield from _all(nested)


_INDEXES: Final = re.compile(r"\[\d+\]|~\d+")


def written_path(path: str) -> str:
    """The path of a node in its pattern: without the rounds and attempts of the containers around it."""
    return _INDEXES.sub("", path)
