"""What is new of a run, read from the store and made ready to be sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from runner.program import written_path
from schemas.pattern import JSON
from store import live, run_reads
from store.database import Connection, Database
from store.live import LONGEST_OUTPUT, NodeChange
from store.run_reads import RunDetail
from store.spans import SpanStatus
from web.api.encoding import encoded
from web.api.live.progress import progress, total
from web.api.live.telling import Told, containers_of, told
from web.api.output_links import told as told_output
from web.api.runs import is_secret_call, node_json, summary_json
from web.contents import Content, Contents

PAGE = 500
"""Rows that are read at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """What became of a run behind some row, in order. `whole`: this is all. `run`, `ended` are of before that."""

    rows: Sequence[Told]
    run: bytes
    ended: bool
    whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _View:
    """What is looked at, and what of it is not shown."""

    connection: Connection
    run: RunDetail
    content: Content
    hidden: frozenset[str]
    secret_call: bool
    secret_output: bool


class Reader:
    """Reads one run of an organisation, for any number of threads."""

    def __init__(self, database: Database, contents: Contents, organisation: str, run: str) -> None:
        self._database = database
        self._contents = contents
        self._organisation = organisation
        self._run = run
        self._totals: dict[tuple[int, str, int], int | None] = {}

    def last(self) -> int:
        """The number of the last change; -1: there is none. Raises StoreUnavailable."""
        with self._database.connection() as connection:
            return live.last_change(connection, self._run)

    def page(self, since: int) -> Page:
        """What became of the run behind a row. Raises StoreUnavailable; LookupError for a run that is gone."""
        with self._database.connection() as connection:
            # The run first: whatever a run that has ended left behind was there before it ended.
            view = self._view(connection)
            changes = live.changes(connection, self._run, since, PAGE)
            whole = len(changes) < PAGE
            moving = self._progress(view, changes) if whole and not view.run.ended else {}
        rows = [_told(change, view, moving.pop(change.path, (change, None))[1]) for change in changes]
        passing = [
            replace(_told(change, view, moved), seq=rows[-1].seq, passing=True)
            for change, moved in moving.values()
        ]
        return Page(
            rows=[*rows[:-1], *passing, *rows[-1:]],
            run=encoded(_run_json(view)),
            ended=view.run.ended,
            whole=whole,
        )

    def _view(self, connection: Connection) -> _View:
        run = run_reads.get_run(connection, self._organisation, self._run)
        if run is None:
            raise LookupError(self._run)
        secret_call = is_secret_call(connection, self._contents, run)
        return _View(
            connection=connection,
            run=run,
            content=self._contents.get(connection, run.version_id),
            hidden=self._contents.hidden(connection, run.version_id),
            secret_call=secret_call,
            secret_output=secret_call or self._contents.hides_output(connection, run.version_id),
        )

    def _progress(self, view: _View, changes: Iterable[NodeChange]) -> dict[str, tuple[NodeChange, JSON]]:
        """How far those `for-each` are that go on and of which something changed, by path."""
        attempt = view.run.attempt
        now = [change.path for change in changes if change.run_attempt == attempt]
        paths = {
            around for path in now for around in (*containers_of(path), path) if _goes_over(view, around)
        }
        found = live.nodes_at(view.connection, self._run, attempt, sorted(paths)) if paths else []
        return {row.path: (row, self._moved(view, row)) for row in found if row.status is SpanStatus.RUNNING}

    def _moved(self, view: _View, row: NodeChange) -> JSON:
        key = (row.run_attempt, row.path, row.attempt)
        if self._totals.get(key) is None:
            state = live.output_at(view.connection, self._run, row.run_attempt, row.path)
            self._totals[key] = total(state)
        # A second attempt of the node goes over its items anew, below a name of its own.
        within = row.path if row.attempt == 1 else f"{row.path}~{row.attempt}"
        items = live.items(view.connection, self._run, row.run_attempt, within)
        do = view.content.nodes[written_path(row.path)].blocks.get(("do",))
        return progress(items, do[-1].id if do else None, self._totals[key])


def _goes_over(view: _View, path: str) -> bool:
    """Whether it is a node with items."""
    node = view.content.nodes.get(written_path(path))
    return node is not None and node.uses == "for-each"


def _told(change: NodeChange, view: _View, moved: JSON) -> Told:
    path = written_path(change.path)
    node = view.content.nodes.get(path)
    secret = view.secret_call or path in view.hidden
    said = node_json(view.run.id, change.run_attempt, change, view.content, secret=secret)
    del said["log"]
    shown = change.status is not SpanStatus.RUNNING and "secret" not in said
    if shown and change.size is not None and change.size > LONGEST_OUTPUT:
        said["outputTooLong"] = change.size
    if moved is not None:
        said["progress"] = moved
    said["runAttempt"] = change.run_attempt
    return told(change, said, at_work=node is not None and not node.blocks)


def _run_json(view: _View) -> Mapping[str, JSON]:
    run = view.run
    said = {**summary_json(run), "output": None}
    if view.secret_output:
        return {**said, "secret": True}
    if run.output is not None and len(run.output) > LONGEST_OUTPUT:
        return {**said, "outputTooLong": len(run.output)}
    return {**said, **told_output(run.output, run.id)}
