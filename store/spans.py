"""The journal's rows: what is known of each node of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from schemas.pattern import JSON
from store.arrays import plain, texts
from store.database import Connection


class SpanStatus(StrEnum):
    RUNNING = "running"  # a container whose inside is under way; `output` says which side was taken
    WAITING = "waiting"  # a timer (`wake_at`), a called run (`child_run_id`) or the next attempt
    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"  # its `when` was false
    CANCELLED = "cancelled"


SETTLED = (SpanStatus.COMPLETED, SpanStatus.FAILED, SpanStatus.SKIPPED, SpanStatus.CANCELLED)


class Span(NamedTuple):
    """One row. `output`, `error` and `log` are JSON text; times are seconds since the epoch."""

    path: str
    status: SpanStatus
    attempt: int
    started: float | None
    ended: float | None
    output: str | None = None
    error: str | None = None
    log: str | None = None
    wake: float | None = None
    child: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Journaled:
    """A row read back, with what became of the run that it called (None while that goes on).

    `size` are the characters of its output, or the called run's.
    """

    path: str
    status: SpanStatus
    attempt: int
    started: float | None
    ended: float | None
    output: JSON
    error: JSON
    log: JSON
    wake: float | None
    child: str | None
    child_status: str | None
    child_output: JSON
    child_error: JSON
    size: int


def columns(rows: Sequence[tuple[str, int, Span]]) -> list[str]:
    """(run id, run attempt, span) rows as one array per column, in the order of the journal's statement."""
    if not rows:
        return ["{}"] * 12
    ids, attempts, spans = zip(*rows, strict=True)
    path, status, attempt, started, ended, output, error, log, wake, child = zip(*spans, strict=True)
    known = (
        [plain(column) for column in (ids, attempts)],
        [plain(c) for c in (status, attempt, started, ended)],
    )
    told = [texts(column) for column in (output, error, log)]
    return [*known[0], texts(path), *known[1], *told, plain(wake), plain(child)]


_READ = b"""
SELECT s.run_id::text, s.path, s.status, s.attempt,
       extract(epoch FROM s.started_at)::float8, extract(epoch FROM s.ended_at)::float8,
       s.output, s.error, s.log, extract(epoch FROM s.wake_at)::float8, s.child_run_id::text,
       CASE WHEN c.ended_at IS NOT NULL THEN c.status END, c.output, c.error,
       coalesce(octet_length(s.output::text), octet_length(c.output::text), 0)
FROM unnest(%b::uuid[], %b::smallint[]) AS w(run_id, run_attempt)
JOIN spans s ON s.run_id = w.run_id AND s.run_attempt = w.run_attempt
LEFT JOIN runs c ON c.id = s.child_run_id
ORDER BY s.run_id, s.started_at, s.path
"""

_FIELDS = (
    "path", "status", "attempt", "started", "ended", "output", "error", "log", "wake", "child",
    "child_status", "child_output", "child_error", "size",
)  # fmt: skip


def read(connection: Connection, runs: Sequence[tuple[str, int]]) -> dict[str, list[Journaled]]:
    """The journals of (run id, attempt) pairs, by run id, in the order in which their nodes began."""
    journals: dict[str, list[Journaled]] = {run: [] for run, _ in runs}
    rows = connection.execute(_READ, [[r for r, _ in runs], [a for _, a in runs]], binary=True)
    for run, *values in rows:
        fields = dict(zip(_FIELDS, values, strict=True))
        fields["status"] = SpanStatus(fields["status"])
        journals[run].append(Journaled(**fields))
    return journals


class EndedChild(NamedTuple):
    """A called run that has ended."""

    id: str
    status: str
    output: JSON
    error: JSON


def ended_children(connection: Connection, runs: Sequence[str]) -> list[EndedChild]:
    """Those of the called runs that have ended."""
    rows = connection.execute(
        "SELECT id::text, status, output, error FROM runs WHERE id = ANY(%s::uuid[]) AND ended_at IS NOT NULL",
        [list(runs)],
    )
    return [EndedChild(*row) for row in rows]
