"""What ran: lists of runs, and one with its nodes."""

from __future__ import annotations

from collections.abc import Mapping

from runner.program import written_path
from schemas.pattern import JSON
from store import run_reads, secret_uses
from store.database import Connection, Database
from store.run_reads import Mode, NodeRow, RunDetail, RunFilter, RunSummary
from store.runs import RunStatus
from store.spans import SpanStatus
from web.api.encoding import milliseconds, rfc3339, stored
from web.api.output_links import told
from web.api.query import (
    DEFAULT_LIMIT,
    Parser,
    flag,
    instant,
    label,
    limit,
    number,
    one_of,
    run_id,
    words,
    wrong,
)
from web.api.resource import Call, check_role
from web.auth import Role
from web.contents import Content, Contents
from web.problems import not_found

TRIGGERS = ("webhook", "schedule", "call", "manual", "api", "error", "replay")

LIST_QUERY: Mapping[str, Parser] = {
    "deployment": label,
    "pattern": label,
    "status": one_of(RunStatus),
    "trigger": one_of(TRIGGERS),
    "environment": words,
    "since": instant,
    "until": instant,
    "parent": run_id,
    "roots": flag,
    "mode": one_of(Mode),
    "cursor": run_id,
    "limit": limit,
}
ONE_QUERY: Mapping[str, Parser] = {"attempt": number(1, 32_767)}


class Runs:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    def list(self, call: Call) -> JSON:
        query = dict(call.query)
        cursor, most = query.pop("cursor"), query.pop("limit") or DEFAULT_LIMIT
        query["roots"] = bool(query["roots"])
        with self._database.connection() as connection:
            found, following = run_reads.list_runs(
                connection, call.identity.organisation, RunFilter(**query), cursor, most
            )
        return {"items": [summary_json(run) for run in found], "next": following}

    def one(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            run = find_run(connection, call)
            attempt = _attempt(connection, run, call.query["attempt"])
            spans = [] if attempt is None else run_reads.nodes(connection, run.id, attempt)
            used = secret_uses.used_by(connection, run.id)
            content = self._contents.get(connection, run.version_id)
            hidden = self._contents.hidden(connection, run.version_id)
            secret_call = is_secret_call(connection, self._contents, run)
            secret = secret_call or self._contents.hides_output(connection, run.version_id)
        spans.sort(key=lambda span: _order(span, content))
        nodes = [
            node_json(
                run.id, attempt or 1, span, content, secret=secret_call or written_path(span.path) in hidden
            )
            | _used_json(used.get(written_path(span.path)))
            for span in spans
        ]
        return {**_detail_json(run, secret=secret), "nodes": nodes}

    def brief(self, connection: Connection, organisation: str, run: str) -> JSON:
        """A run that was just made, or just touched, without its nodes."""
        found = run_reads.get_run(connection, organisation, run)
        assert found is not None
        secret = is_secret_call(connection, self._contents, found)
        secret = secret or self._contents.hides_output(connection, found.version_id)
        return _detail_json(found, secret=secret)


def _used_json(names: list[str] | None) -> dict[str, JSON]:
    """The names of the secrets that a node used, in this attempt of the run or another."""
    return {"secrets": names} if names else {}


def is_secret_call(connection: Connection, contents: Contents, run: RunDetail) -> bool:
    """Whether a secret node called it, its caller, or the run that it repeats: then nothing of it is shown."""
    if run.parent_id is None and run.replay_of is None:
        return False
    return any(
        written_path(caller.path) in contents.get(connection, caller.version_id).secret
        for caller in run_reads.callers(connection, run.id)
    )


def find_run(connection: Connection, call: Call) -> RunDetail:
    """The one that the path names. Raises Refusal."""
    text = call.path["id"].lower()
    found = None
    if run_reads.is_run_id(text):
        found = run_reads.get_run(connection, call.identity.organisation, text)
    if found is None:
        raise not_found(f"There is no run {text!r:.80}. `weft runs` lists them.")
    return found


def check_may_touch(call: Call, run: RunDetail) -> None:
    """Test runs are whoever's who may push, live runs the operators'. Raises Refusal."""
    check_role(call.identity, Role.EDITOR if run.mode is Mode.TEST else Role.OPERATOR)


def _attempt(connection: Connection, run: RunDetail, asked: int | None) -> int | None:
    if asked is not None and asked > run.attempt:
        message = f"this run has had {run.attempt} so far"
        raise wrong("query parameters", [{"path": "attempt", "message": message}])
    return asked or run_reads.last_attempt(connection, run.id)


def _order(span: NodeRow, content: Content) -> tuple[float, int]:
    """By the time they began; what began in the same moment, in the order of the pattern."""
    began = 0.0 if span.started_at is None else span.started_at.timestamp()
    return began, content.places.get(written_path(span.path), len(content.places))


def summary_json(run: RunSummary) -> dict[str, JSON]:
    """A run as lists show it. A test run has no `deployment`."""
    return {
        "id": run.id,
        "deployment": run.deployment,
        "pattern": run.pattern,
        "version": {"id": run.version_id, "number": run.number},
        "environment": run.environment,
        "mode": run.mode,
        "trigger": run.trigger,
        "status": run.status,
        "attempt": run.attempt,
        "error": stored(run.error),
        "parentId": run.parent_id,
        "rootId": run.root_id,
        "replayOf": run.replay_of,
        "replayFrom": run.replay_from,
        "actor": run.actor,
        "createdAt": rfc3339(run.created_at),
        "startedAt": rfc3339(run.started_at),
        "endedAt": rfc3339(run.ended_at),
        "durationMs": milliseconds(run.started_at, run.ended_at),
    }


def _detail_json(run: RunDetail, *, secret: bool) -> dict[str, JSON]:
    hides = {"secret": True} if secret else {}
    output = told(None if secret else run.output, run.id)
    taken = {"triggerData": stored(run.trigger_data), "input": stored(run.input)}
    return {**summary_json(run), **taken, **output, **hides}


def node_json(run: str, attempt: int, span: NodeRow, content: Content, *, secret: bool) -> dict[str, JSON]:
    """A node of an attempt of a run."""
    node = content.nodes.get(written_path(span.path))
    id_ = span.path.rsplit("/", 1)[-1]
    shown = not secret and span.status is not SpanStatus.RUNNING
    waits = span.status is SpanStatus.WAITING
    return {
        "path": span.path,
        "id": id_,
        "name": node.name if node and node.name else id_,
        "uses": node.uses if node else None,
        "status": span.status,
        "attempt": span.attempt,
        "startedAt": rfc3339(span.started_at),
        "endedAt": rfc3339(span.ended_at),
        "durationMs": milliseconds(span.started_at, span.ended_at),
        **told(span.output if shown and not waits else None, run, span.path, attempt),
        **({"waitsFor": stored(span.output)} if shown and waits and span.output else {}),
        **({"wakesAt": rfc3339(span.wake_at)} if waits and span.wake_at else {}),
        "error": stored(span.error),
        "childRunId": span.child_run_id,
        "log": stored(span.log) or [],
        **({"secret": True} if secret else {}),
    }
