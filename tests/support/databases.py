"""Databases of the session's PostgreSQL, each for one test or one file of tests."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from cli.embedded.postgres import Postgres

_numbers = itertools.count(1)


@contextmanager
def new_database(postgres: Postgres, template: str = "template1") -> Iterator[str]:
    """The address of a copy of `template`, which nobody may be connected to; dropped in the end, in use or not."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        try:
            yield postgres.url.replace("@/weft?", f"@/{name}?")
        finally:
            _await_leave(connection, name)
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _await_leave(connection: psycopg.Connection[Any], name: str) -> None:
    """Those whose clients have gone end in a moment; DROP DATABASE would wait for them in steps of 0.1 s."""
    for _ in range(20):
        if not connection.execute("SELECT FROM pg_stat_activity WHERE datname = %s", [name]).rowcount:
            return
        time.sleep(0.001)
