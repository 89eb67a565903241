"""Outputs that are kept outside the database, because they are large."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from schemas.pattern import JSON
from store import run_reads
from store.blobs import BlobMissing, Blobs, BlobsUnavailable
from store.database import Connection, Database
from store.large import found, is_reference
from web.api.encoding import Stored, stored
from web.api.query import Parser, node_path, number
from web.api.resource import Call
from web.api.runs import find_run, is_secret_call
from web.contents import Contents
from web.problems import Kind, Refusal, not_found

QUERY: Mapping[str, Parser] = {"node": node_path, "attempt": number(1, 32_767)}


class Outputs:
    """`GET /runs/{id}/output`: the run's, or with `node` that of one of its nodes, whole."""

    def __init__(self, database: Database, contents: Contents, open_: Callable[[], Blobs]) -> None:
        self._database = database
        self._contents = contents
        self._open = open_
        self._blobs: Blobs | None = None

    def one(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            text = self._text(connection, call)
        return stored(text) if text is None or not is_reference(text) else self._loaded(text)

    def _text(self, connection: Connection, call: Call) -> str | None:
        run = find_run(connection, call)
        node = call.query["node"]
        secret = is_secret_call(connection, self._contents, run)
        if node is None:
            secret = secret or self._contents.hides_output(connection, run.version_id)
            text = run.output
        else:
            attempt = call.query["attempt"] or run_reads.last_attempt(connection, run.id) or 1
            text = _of_node(connection, run.id, attempt, node)
            secret = secret or self._contents.hides(connection, run.version_id, node)
        if secret:
            raise Refusal(Kind.FORBIDDEN, "This output is secret.")
        return text

    def _loaded(self, text: str) -> Stored:
        if self._blobs is None:
            self._blobs = self._open()
        reference = found(orjson.loads(text), self._blobs)
        try:
            return Stored(self._blobs.get(reference.key).decode())
        except BlobMissing as error:
            raise not_found(f"The output is lost: {error}.") from error
        except BlobsUnavailable as error:
            raise Refusal(Kind.UNAVAILABLE, f"{error}.") from error


def _of_node(connection: Connection, run: str, attempt: int, node: str) -> str | None:
    """Raises Refusal where there is no such node, or it has not ended."""
    given = run_reads.output_of_node(connection, run, attempt, node)
    if given is None:
        detail = f"No node {node!r:.80} has ended in attempt {attempt} of this run. `weft log` lists them."
        raise not_found(detail)
    return given.output
