"""Databases of the session's PostgreSQL, each for one test or one file of tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

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
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
