"""Runs as people look at them: lists that stay fast however many there are, one run with its nodes.

JSON values come as the text that is stored: nobody here looks inside them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from store.database import Connection
from store.runs import RunStatus
from store.spans import SpanStatus

LOOKED_AT = 20_000
"""Rows that one page looks at, at most: where a filter finds little, a page is short, and `next` goes on."""

LOOKED_AT_SCATTERED = 5_000
"""The same for the runs of one deployment: each may be on another page of the disk."""

CLOCKS_DIFFER = timedelta(hours=1)
"""Ids are made by other machines' clocks than `created_at`: they narrow a search in time, no more."""


class Mode(StrEnum):
    LIVE = "live"  # of a deployment
    TEST = "test"  # of a draft: it counts for no deployment


@dataclass(frozen=True, kw_only=True)
class RunFilter:
    """Which runs a list shows; None: all. `since` is part of the time, `until` is not. `roots`: no called runs."""

    deployment: str | None = None
    pattern: str | None = None
    status: RunStatus | None = None
    trigger: str | None = None
    environment: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    parent: str | None = None
    roots: bool = False
    mode: Mode | None = None


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """A run without what it took and gave. `environment` is that of the revision it was accepted under.

    A test run has no deployment.
    """

    id: str
    deployment: str | None
    pattern: str
    version_id: str
    number: int | None
    environment: str
    trigger: str
    status: RunStatus
    attempt: int
    error: str | None
    parent_id: str | None
    root_id: str
    replay_of: str | None
    replay_from: str | None
    actor: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.ended_at is not None

    @property
    def mode(self) -> Mode:
        return Mode.TEST if self.deployment is None else Mode.LIVE


@dataclass(frozen=True, kw_only=True)
class RunDetail(RunSummary):
    """`trigger_data` is what started it (of a webhook: method, headers, body…); all three are JSON text."""

    trigger_data: str
    input: str | None
    output: str | None


@dataclass(frozen=True, kw_only=True)
class NodeRow:
    """A span. `output` of one that is under way says which side of it was taken; `wake_at` is its timer's end."""

    path: str
    status: SpanStatus
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    output: str | None
    error: str | None
    log: str | None
    child_run_id: str | None
    wake_at: datetime | None


_SUMMARY = """r.id::text, d.name, r.pattern, r.version_id, f.number,
    coalesce(v.spec ->> 'environment', t.environment, 'production'), r.trigger_kind, r.status,
    r.attempt, r.error::text,
    r.parent_id::text, coalesce(r.root_id, r.id)::text, r.replay_of::text, r.replay_from, r.actor,
    r.created_at, r.started_at, r.ended_at"""

_SUMMARY_FIELDS = (
    "id", "deployment", "pattern", "version_id", "number", "environment", "trigger", "status", "attempt", "error",
    "parent_id", "root_id", "replay_of", "replay_from", "actor", "created_at", "started_at", "ended_at",
)  # fmt: skip

_AROUND = """LEFT JOIN deployments d ON d.id = r.deployment_id
    LEFT JOIN revisions v ON v.deployment_id = r.deployment_id AND v.revision = r.revision
    LEFT JOIN drafts t ON t.id = r.draft_id
    LEFT JOIN freezes f ON f.organisation = coalesce(d.organisation, t.organisation)
        AND f.version_id = r.version_id"""


def list_runs(
    connection: Connection, organisation: str, filters: RunFilter, before: str | None, limit: int
) -> tuple[list[RunSummary], str | None]:
    """Up to `limit` runs with ids below `before`, newest first, and the cursor of the next page or None.

    Never prepared: a plan that was made when the table was small, or for other filters, would be kept.
    """
    # `AS run`: a column that is called `id` would be what ORDER BY sorts by, and its text has no index.
    deployments = _deployment_ids(connection, organisation, filters.deployment)
    if filters.deployment is not None and not deployments:
        return [], None
    arguments = {
        **_arguments(filters), "before": before, "deployments": deployments, "organisation": organisation,
    }  # fmt: skip
    looked_at = f"FROM runs WHERE {_range(filters, before)} ORDER BY id DESC"
    rows = LOOKED_AT if filters.deployment is None else LOOKED_AT_SCATTERED
    ids = _column(
        connection,
        f"""SELECT id::text AS run FROM (
                SELECT id, deployment_id, draft_id, revision, pattern, status, trigger_kind, parent_id, created_at
                {looked_at} LIMIT {rows}
            ) looked WHERE {_matches(filters)} ORDER BY id DESC LIMIT {int(limit) + 1}""",  # noqa: S608
        arguments,
    )
    found = _summaries(connection, ids[:limit])
    if len(ids) > limit:
        return found, found[-1].id
    last = _column(connection, f"SELECT id::text AS run {looked_at} LIMIT 1 OFFSET {rows - 1}", arguments)
    return found, last[0] if last else None


def _column(connection: Connection, sql: str, arguments: Any) -> list[str]:
    return [row[0] for row in connection.execute(sql.encode(), arguments, prepare=False)]


def _summaries(connection: Connection, ids: list[str]) -> list[RunSummary]:
    # A statement of its own: joined with the search, it would be planned as a walk through all runs.
    rows = connection.execute(
        f"SELECT {_SUMMARY} FROM runs r {_AROUND} WHERE r.id = ANY(%s::uuid[]) ORDER BY r.id DESC".encode(),  # noqa: S608
        [ids],
        prepare=False,
    )
    return [_summary(row) for row in rows]


def _deployment_ids(connection: Connection, organisation: str, name: str | None) -> list[int]:
    rows = connection.execute(
        "SELECT id FROM deployments WHERE organisation = %s AND (%s::text IS NULL OR name = %s)",
        [organisation, name, name],
    )
    return [row[0] for row in rows]


def _range(filters: RunFilter, before: str | None) -> str:
    """What an index narrows."""
    conditions = {
        "id < %(before)s::uuid": before,
        "id >= %(first)s::uuid": filters.since,
        "id < %(last)s::uuid": filters.until,
        "parent_id = %(parent)s::uuid": filters.parent,
        "deployment_id = ANY(%(deployments)s)": filters.deployment,
        "draft_id IS NOT NULL": True if filters.mode == Mode.TEST else None,
    }
    return _all(condition for condition, value in conditions.items() if value is not None)


def _matches(filters: RunFilter) -> str:
    """What is looked at row by row."""
    conditions = {
        _OWN: True,
        "draft_id IS NULL": filters.mode == Mode.LIVE,
        "pattern = %(pattern)s": filters.pattern is not None,
        "status = %(status)s": filters.status is not None,
        "trigger_kind = %(trigger)s": filters.trigger is not None,
        "created_at >= %(since)s": filters.since is not None,
        "created_at < %(until)s": filters.until is not None,
        "parent_id IS NULL": filters.roots,
        _IN_ENVIRONMENT: filters.environment is not None,
    }
    return _all(condition for condition, asked in conditions.items() if asked)


_OWN = """(deployment_id = ANY(%(deployments)s) OR EXISTS (
    SELECT FROM drafts t WHERE t.id = looked.draft_id AND t.organisation = %(organisation)s))"""

_IN_ENVIRONMENT = """(EXISTS (
    SELECT FROM revisions v WHERE v.deployment_id = looked.deployment_id AND v.revision = looked.revision
        AND coalesce(v.spec ->> 'environment', 'production') = %(environment)s)
    OR EXISTS (
    SELECT FROM drafts t WHERE t.id = looked.draft_id AND t.environment = %(environment)s))"""


def _all(conditions: Any) -> str:
    return " AND ".join(conditions) or "true"


def _arguments(filters: RunFilter) -> dict[str, Any]:
    return {
        "pattern": filters.pattern,
        "status": filters.status,
        "trigger": filters.trigger,
        "environment": filters.environment,
        "since": filters.since,
        "until": filters.until,
        "parent": filters.parent,
        "first": None if filters.since is None else _first_id(filters.since, -CLOCKS_DIFFER),
        "last": None if filters.until is None else _first_id(filters.until, CLOCKS_DIFFER),
    }


def _first_id(at: datetime, shift: timedelta) -> str:
    """The lowest id of a moment (RFC 9562, section 5.7: the first 48 bits are milliseconds)."""
    milliseconds = int(at.timestamp() * 1000) + int(shift.total_seconds() * 1000)
    text = f"{min(max(milliseconds, 0), (1 << 48) - 1):012x}"
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"


def get_run(connection: Connection, organisation: str, run: str) -> RunDetail | None:
    """One run of the organisation, whole."""
    row = connection.execute(
        f"""SELECT {_SUMMARY}, r.trigger::text, r.input::text, r.output::text FROM runs r {_AROUND}
            WHERE r.id = %s AND coalesce(d.organisation, t.organisation) = %s""".encode(),  # noqa: S608 - constants
        [run, organisation],
        prepare=False,
    ).fetchone()
    if row is None:
        return None
    fields = dict(zip((*_SUMMARY_FIELDS, "trigger_data", "input", "output"), row, strict=True))
    return RunDetail(**fields | {"status": RunStatus(fields["status"])})


def _summary(row: tuple[Any, ...]) -> RunSummary:
    fields = dict(zip(_SUMMARY_FIELDS, row, strict=True))
    return RunSummary(**fields | {"status": RunStatus(fields["status"])})


def last_attempt(connection: Connection, run: str) -> int | None:
    """The latest attempt that has begun; None while none has."""
    row = connection.execute("SELECT max(run_attempt) FROM spans WHERE run_id = %s", [run]).fetchone()
    return None if row is None else row[0]


def nodes(connection: Connection, run: str, attempt: int) -> list[NodeRow]:
    """What is known of an attempt's nodes, by the time they began."""
    rows = connection.execute(
        """SELECT path, status, attempt, started_at, ended_at, output::text, error::text, log::text,
               child_run_id::text, wake_at
           FROM spans WHERE run_id = %s AND run_attempt = %s ORDER BY started_at NULLS FIRST, path""",
        [run, attempt],
        prepare=False,
    )
    names = (
        "path", "status", "attempt", "started_at", "ended_at", "output", "error", "log", "child_run_id",
        "wake_at",
    )  # fmt: skip
    found = (dict(zip(names, row, strict=True)) for row in rows)
    return [NodeRow(**fields | {"status": SpanStatus(fields["status"])}) for fields in found]


class Done(NamedTuple):
    """What a journal says of a node, as far as it matters to who goes on behind it."""

    path: str
    status: SpanStatus
    attempt: int = 1


def done(connection: Connection, run: str, attempt: int) -> list[Done]:
    """The nodes of an attempt, in any order. Without what they took and gave: there may be thousands of them."""
    rows = connection.execute(
        "SELECT path, status, attempt FROM spans WHERE run_id = %s AND run_attempt = %s", [run, attempt]
    )
    return [Done(path, SpanStatus(status), number) for path, status, number in rows]


class Given(NamedTuple):
    """What a node gave, as its row has it: JSON text, or None for nothing."""

    output: str | None


def output_of_node(connection: Connection, run: str, attempt: int, path: str) -> Given | None:
    """Of a node that has ended. None: there is none."""
    row = connection.execute(
        """SELECT output::text FROM spans
           WHERE run_id = %s AND run_attempt = %s AND path = %s AND status NOT IN ('running', 'waiting')""",
        [run, attempt, path],
    ).fetchone()
    return None if row is None else Given(row[0])


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The version and the node that called a run, or called its caller, and so on up."""

    version_id: str
    path: str


def callers(connection: Connection, run: str) -> list[Caller]:
    """Everything above a called run, nearest first; above one that repeats it, too."""
    rows = connection.execute(
        """WITH RECURSIVE up AS (
               SELECT parent_id, parent_path, replay_of, 1 AS step FROM runs WHERE id = %s
               UNION ALL
               SELECT r.parent_id, r.parent_path, r.replay_of, step + 1
               FROM up JOIN runs r ON r.id = coalesce(up.parent_id, up.replay_of)
           )
           SELECT r.version_id, up.parent_path FROM up JOIN runs r ON r.id = up.parent_id ORDER BY step""",
        [run],
        prepare=False,
    )
    return [Caller(version_id=version, path=path) for version, path in rows if path is not None]


def ended(connection: Connection, runs: Collection[str]) -> dict[str, str]:
    """How those of `runs` that have ended did so, by id."""
    rows = connection.execute(
        "SELECT id::text, status FROM runs WHERE id = ANY(%s::uuid[]) AND ended_at IS NOT NULL", [list(runs)]
    )
    return dict(rows.fetchall())


def version_of(connection: Connection, run: str) -> str | None:
    """The version that a run was bound to."""
    row = connection.execute("SELECT version_id FROM runs WHERE id = %s", [run]).fetchone()
    return None if row is None else str(row[0])


_RUN_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def is_run_id(text: str) -> bool:
    return _RUN_ID.fullmatch(text) is not None
