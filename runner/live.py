"""What of a run is at work at this moment, for those who follow it."""

from __future__ import annotations

import threading

import orjson

from schemas.pattern import JSON
from store.spans import Span, SpanStatus


class NodeAtWork:
    """One attempt of one node, from its beginning to its end."""

    def __init__(self, path: str, attempt: int, started: float, log: list[JSON]) -> None:
        self._path = path
        self._attempt = attempt
        self._started = started
        self._log = log
        self._shown = -1  # lines
        # Held while it is written down, so that nothing written of its work comes after what is written of its end.
        self.lock = threading.Lock()
        self.ended = False

    def news(self) -> Span | None:
        """Its row, if that is not what was written last."""
        lines = self._log[:]
        if len(lines) == self._shown:
            return None
        self._shown = len(lines)
        log = orjson.dumps(lines).decode() if lines else None
        return Span(self._path, SpanStatus.RUNNING, self._attempt, self._started, None, log=log)


class Live:
    """A run's nodes at work, and whether somebody watches: then what is done is made durable at once."""

    __slots__ = ("_nodes", "attempt", "due", "watched")

    def __init__(self) -> None:
        self.attempt = 1  # the run's
        self.watched = False
        self.due = False  # there may be something done that nobody has been told
        self._nodes: dict[str, NodeAtWork] = {}

    def begin(self, path: str, attempt: int, started: float, log: list[JSON]) -> None:
        """Take a node in. `log` is what it appends its lines to."""
        self._nodes[path] = NodeAtWork(path, attempt, started, log)

    def end(self, path: str) -> None:
        """From here on nothing is written of its being at work."""
        node = self._nodes.pop(path, None)
        if node is not None:
            with node.lock:
                node.ended = True

    def nodes(self) -> list[NodeAtWork]:
        return list(self._nodes.values())
