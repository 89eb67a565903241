"""Rows of the journal → events, made once for all who follow a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from schemas.pattern import JSON
from store.live import NodeChange
from store.spans import SpanStatus
from web.api.encoding import encoded
from web.api.live.cursor import Cursor

_ITEMS = re.compile(r"(?:~\d+)?\[\d+\]")


@dataclass(frozen=True, slots=True)
class Told:
    """One row, ready to be sent: what it says of its node, and its log line by line.

    `row` and `begun` are what cursors call it and this attempt of it. `once`: that it goes on is said but once.
    `passing`: what it says is not in the journal (such as progress), so no cursor knows of it.
    """

    seq: int
    row: str
    begun: str
    node: bytes
    lines: tuple[bytes, ...]
    once: bool
    passing: bool = False

    @property
    def size(self) -> int:
        return len(self.node) + sum(map(len, self.lines))


def told(change: NodeChange, node: Mapping[str, Any], *, at_work: bool) -> Told:
    """`node` is what the event says; `at_work`: it is a node that does something itself."""
    place = {"path": change.path, "runAttempt": change.run_attempt, "attempt": change.attempt}
    lines = orjson.loads(change.log) if change.log else ()
    return Told(
        seq=change.seq,
        row=_digest(f"{change.run_attempt} {change.path}", 6),
        begun=_digest(f"{change.attempt} {change.started_at}", 3),
        node=encoded(node),
        lines=tuple(encoded({**place, "line": at, **_line(line)}) for at, line in enumerate(lines, 1)),
        once=at_work and change.status is SpanStatus.RUNNING,
    )


def frames(cursor: Cursor, row: Told) -> Iterator[bytes]:
    """The events that a follower has not had of a row. Moves its cursor behind each that is taken.

    That a node is at work comes before its lines, what became of it behind them.
    """
    if row.seq <= cursor.seq:
        return
    if row.passing:
        yield frame("node", row.node)
        return
    count = cursor.told(row.row, row.begun)
    if row.once and count is None:
        cursor.lines[row.row] = (row.begun, 0)
        yield frame("node", row.node, str(cursor))
    for at in range(count or 0, len(row.lines)):
        cursor.lines[row.row] = (row.begun, at + 1)
        yield frame("log", row.lines[at], str(cursor))
    cursor.seq = row.seq
    if not row.once:
        cursor.lines.pop(row.row, None)
        yield frame("node", row.node, str(cursor))


def frame(event: str, data: bytes, id_: str | None = None) -> bytes:
    """One event, as https://html.spec.whatwg.org/multipage/server-sent-events.html has it."""
    named = b"" if id_ is None else b"id: %s\n" % id_.encode()
    return b"%sevent: %s\ndata: %s\n\n" % (
        named,
        event.encode(),
        data.replace(b"\r", b"").replace(b"\n", b"\ndata: "),
    )


def containers_of(path: str) -> Iterable[str]:
    """The paths of the nodes over whose items a path leads, the outermost first."""
    return (path[: found.start()] for found in _ITEMS.finditer(path))


def _line(line: JSON) -> dict[str, JSON]:
    return line if isinstance(line, dict) else {"message": line}


def _digest(text: str, size: int) -> str:
    return hashlib.blake2b(text.encode(), digest_size=size).hexdigest()
