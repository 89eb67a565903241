"""What of a run is at work at this moment, for those who follow it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from schemas.json_text import dump
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
        self._ended = False
        self._lock = threading.Lock()

    def show(self, write: Callable[[Span], None]) -> bool:
        """Have its row written, if that is not what was written last. Nothing comes after its end.

        Its end waits for what is being written of it: the row of the end is the last.
        """
        with self._lock:
            lines = self._log[:]
            if self._ended or len(lines) == self._shown:
                return False
            log = dump(lines) if lines else None
            write(Span(self._path, SpanStatus.RUNNING, self._attempt, self._started, None, log=log))
            self._shown = len(lines)
            return True

    def end(self) -> None:
        with self._lock:
            self._ended = True


class Live:
    """A run's nodes at work, and whether somebody watches: then what is done is made durable at once."""

    __slots__ = ("_nodes", "attempt", "due", "watched")

    def __init__(self, attempt: int = 1) -> None:
        self.attempt = attempt  # the run's
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
            node.end()

    def nodes(self) -> list[NodeAtWork]:
        return list(self._nodes.values())
