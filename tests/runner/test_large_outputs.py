"""Outputs that are too large for a row, through a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from databases import new_database
from running import Running, sweeper, worker

from cli.embedded.postgres import Postgres
from cli.embedded.valkey import Valkey
from store.database import Database
from store.s3_blobs import BlobPlace

CALL = {"id": "c", "uses": "call", "with": {"pattern": "callee"}}


@pytest.fixture(scope="module")
def kept_apart(
    postgres: Postgres, migrated: str, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """With a worker that has a place for large values."""
    place = BlobPlace(str(tmp_path_factory.mktemp("blobs")))
    with new_database(postgres, migrated) as url:
        database = Database(url, connections=8)
        running = Running(database, f"{valkey.url}?db=15")
        with worker(running, blobs=place), sweeper(running):
            yield running
        database.close()


def test_what_a_called_run_gives_is_checked_however_large(kept_apart: Running) -> None:
    callee = kept_apart.deploy("callee", [{"id": "big", "uses": "set", "with": {"text": "x" * 300_000}}])
    for name, required in (("good", "text"), ("bad", "id")):
        schema = {"type": "object", "required": [required]}
        kept_apart.deploy(name, [CALL], calls={"callee": callee}, outputSchema=schema)
    good, bad = kept_apart.run("good"), kept_apart.run("bad")
    assert (good["status"], set(good["output"])) == ("completed", {"$blob", "size"})
    assert bad["error"]["type"] == "invalid_output"


@pytest.mark.parametrize("value", [{"$blob": "none"}, {"a": 1, "$blob": "none"}])
def test_what_looks_like_a_reference_passes_through_a_run(kept_apart: Running, value: Any) -> None:
    callee = kept_apart.deploy("callee", [{"id": "odd", "uses": "set", "with": value}])
    key = {"id": "key", "uses": "set", "with": "${{ nodes.c['$blob'] }}"}
    kept_apart.deploy("flow", [CALL, key], calls={"callee": callee})
    assert kept_apart.run("flow")["output"] == "none"
