"""Frozen versions as the API needs them, read once; and what of their runs is never shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from runner.kept import Kept
from runner.program import written_path
from schemas.json_schemas import Shape
from schemas.pattern import JSON, Node, Pattern, pattern_from_spec
from store.database import Connection
from store.versions import load_version

KEPT = 1024


@dataclass(frozen=True, kw_only=True)
class Content:
    """A version: its pattern, its nodes by path, and what it calls (key → version id).

    `secret` are the paths of nodes with `secret: true`, and of all within them.
    """

    pattern: Pattern
    calls: Mapping[str, str]
    nodes: Mapping[str, Node]
    places: Mapping[str, int]
    secret: frozenset[str]
    input_shape: Shape | None = field(repr=False)


class Contents:
    """A cache by version id: content never changes."""

    def __init__(self) -> None:
        self._kept: Kept[str, Content] = Kept(KEPT)

    def get(self, connection: Connection, version_id: str) -> Content:
        return self._kept.get(version_id, lambda: _load(connection, version_id))

    def hides_output(self, connection: Connection, version_id: str) -> bool:
        """Whether a run's output is that of a secret node: a `stop`, or the last where nothing else is said."""
        content = self.get(connection, version_id)
        if any(content.nodes[path].uses == "stop" for path in content.secret):
            return True
        if content.pattern.output is not None or not content.pattern.nodes:
            return False
        return self._hides(connection, content, content.pattern.nodes[-1].id)

    def hides(self, connection: Connection, version_id: str, path: str) -> bool:
        """Whether the output of the node at a run's path is not shown."""
        return written_path(path) in self.hidden(connection, version_id)

    def hidden(self, connection: Connection, version_id: str) -> frozenset[str]:
        """The paths of nodes whose outputs are not shown: secret, or holding what a secret one gave."""
        content = self.get(connection, version_id)
        return frozenset(path for path in content.nodes if self._hides(connection, content, path))

    def _hides(self, connection: Connection, content: Content, path: str) -> bool:
        node = content.nodes[path]
        if path in content.secret:
            return True
        if node.uses == "call":
            callee = content.calls.get(_call_key(node.with_))
            return callee is not None and self.hides_output(connection, callee)
        return any(
            self._hides(connection, content, f"{path}/{block[-1].id}")
            for block in node.blocks.values()
            if block
        )


def _load(connection: Connection, version_id: str) -> Content:
    stored = load_version(connection, version_id)
    if stored is None:
        return _content(Pattern(name=""), {})
    return _content(pattern_from_spec(stored.pattern, stored.spec), stored.calls)


def _content(pattern: Pattern, calls: Mapping[str, str]) -> Content:
    walked = list(_walk(pattern.nodes, "", secret=False))
    schema = pattern.input_schema
    return Content(
        pattern=pattern,
        calls=calls,
        nodes={path: node for path, node, _ in walked},
        places={path: place for place, (path, _, _) in enumerate(walked)},
        secret=frozenset(path for path, _, secret in walked if secret),
        input_shape=None if schema is None else Shape(schema, "input"),
    )


def _walk(nodes: tuple[Node, ...], prefix: str, *, secret: bool) -> Iterator[tuple[str, Node, bool]]:
    for node in nodes:
        path = prefix + node.id
        hidden = secret or node.secret
        yield path, node, hidden
        for block in node.blocks.values():
            yield from _walk(block, f"{path}/", secret=hidden)


def _call_key(inputs: JSON) -> str:
    name, number = inputs.get("pattern"), inputs.get("version")
    return f"{name}" if number is None else f"{name}@{number}"
