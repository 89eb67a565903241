"""A run as it happens: what followers have not been told yet, and how those who work and those who tell meet.

Whoever has followers says so again and again (`watch`); for those runs alone workers write down what is at work
(`show`) and say that there is something new (`tell`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.pattern import JSON
from store.database import RUN_TOLD, RUN_WATCHED, Connection
from store.run_reads import NodeRow
from store.spans import Span, SpanStatus
from store.statements import Statement

NAMED = 200
"""Runs that one notification names: it may have 8,000 bytes."""

LONGEST_OUTPUT = 64 * 1024
"""Characters of an output that are told; of a longer one followers hear how long it is."""


@dataclass(frozen=True, kw_only=True)
class NodeChange(NodeRow):
    """A row as it is since `seq`. `output` None with a `size`: it has so many characters, too many to tell."""

    seq: int
    run_attempt: int
    size: int | None


_NAMES = (
    "path", "status", "attempt", "started_at", "ended_at", "output", "error", "log", "child_run_id",
    "wake_at", "seq", "run_attempt", "size",
)  # fmt: skip

_SELECT = """SELECT path, status, attempt, started_at, ended_at,
       CASE WHEN length(output::text) <= %(longest)s THEN output::text END, error::text, log::text,
       child_run_id::text, wake_at, seq, run_attempt, length(output::text)
FROM spans WHERE run_id = %(run)s"""


def changes(connection: Connection, run: str, since: int, limit: int) -> list[NodeChange]:
    """What became of a run's nodes behind `since`, in order: `limit` rows and those that share the last one's
    number. Fewer than `limit` are all there are.

    Only the worker with the lease writes, one statement after another: behind a row that was read nothing can
    appear with a lower number.
    """
    sql = f"{_SELECT} AND seq > %(since)s ORDER BY seq, started_at, path FETCH FIRST %(limit)s ROWS WITH TIES"
    return _read(connection, sql, {"run": run, "since": since, "limit": limit})


def nodes_at(connection: Connection, run: str, attempt: int, paths: Sequence[str]) -> list[NodeChange]:
    """The rows of these nodes, by number."""
    sql = f"{_SELECT} AND run_attempt = %(attempt)s AND path = ANY(%(paths)s) ORDER BY seq"
    return _read(connection, sql, {"run": run, "attempt": attempt, "paths": list(paths)})


def output_at(connection: Connection, run: str, attempt: int, path: str) -> JSON:
    """What a row has as its output, however long."""
    sql = "SELECT output FROM spans WHERE run_id = %s AND run_attempt = %s AND path = %s"
    row = connection.execute(sql, [run, attempt, path]).fetchone()
    return None if row is None else row[0]


def _read(connection: Connection, sql: str, arguments: dict[str, object]) -> list[NodeChange]:
    arguments["longest"] = LONGEST_OUTPUT
    rows = connection.execute(sql.encode(), arguments, prepare=False)
    found = (dict(zip(_NAMES, row, strict=True)) for row in rows)
    return [NodeChange(**fields | {"status": SpanStatus(fields["status"])}) for fields in found]


def last_change(connection: Connection, run: str) -> int:
    """The highest number of a run's rows; -1 where there are none."""
    row = connection.execute("SELECT coalesce(max(seq), -1) FROM spans WHERE run_id = %s", [run]).fetchone()
    assert row is not None
    return int(row[0])


def items(connection: Connection, run: str, attempt: int, within: str) -> list[tuple[str, SpanStatus]]:
    """(path behind `within`, such as `[3]/send`; status) of all that is known of a loop's items."""
    sql = """SELECT substr(path, length(%(path)s) + 1), status FROM spans
             WHERE run_id = %(run)s AND run_attempt = %(attempt)s AND starts_with(path, %(path)s || '[')"""
    rows = connection.execute(sql, {"run": run, "attempt": attempt, "path": within}, prepare=False)
    return [(path, SpanStatus(status)) for path, status in rows]


# A stronger lock than the journal's, for the order: of two writes for a run, the second waits for the first.
SHOW = Statement(
    "show",
    """
WITH held AS (
    SELECT id FROM runs WHERE id = $1::uuid AND lease = $2::int FOR NO KEY UPDATE
)
INSERT INTO spans (run_id, run_attempt, path, status, attempt, started_at, log)
SELECT id, $3::smallint, $4::text, 'running', $5::smallint, to_timestamp($6::float8), $7::json FROM held
ON CONFLICT (run_id, run_attempt, path) DO UPDATE SET
    status = excluded.status, attempt = excluded.attempt, started_at = excluded.started_at, ended_at = NULL,
    output = NULL, error = NULL, log = excluded.log, wake_at = NULL, child_run_id = NULL, seq = excluded.seq
""",
)


def show(connection: Connection, run: str, lease: int, run_attempt: int, span: Span) -> None:
    """Write down that a node is at work, with what it logged so far, unless the lease is lost."""
    values = (run, lease, run_attempt, span.path, span.attempt, span.started, span.log)
    list(SHOW.rows(connection, [None if value is None else str(value) for value in values]))


def watch(connection: Connection, runs: Sequence[str]) -> None:
    """Say to all workers that somebody follows these runs, for a while."""
    _notify(connection, RUN_WATCHED, runs)


def tell(connection: Connection, runs: Sequence[str]) -> None:
    """Say to whoever has followers that there is something new of these runs."""
    _notify(connection, RUN_TOLD, runs)


def named(payload: str) -> list[str]:
    """The runs that a notification is about."""
    return payload.split()


def _notify(connection: Connection, channel: str, runs: Sequence[str]) -> None:
    for some in _batches(runs):
        connection.execute("SELECT pg_notify(%s, %s)", [channel, " ".join(some)])


def _batches(runs: Sequence[str]) -> Iterator[Sequence[str]]:
    return (runs[at : at + NAMED] for at in range(0, len(runs), NAMED))
