"""The hot path's own way to PostgreSQL: every text arrives whole, and every error is of psycopg's classes."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.arrays import plain, texts
from store.database import Connection, Database
from store.statements import Statement

ECHO = Statement("echo", "SELECT t FROM unnest($1::text[]) WITH ORDINALITY AS u(t, at) ORDER BY at")
HALF = Statement("half", "SELECT 1 / $1::int")

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def test_any_text_comes_back_from_an_array(connection: Connection) -> None:
    odd = st.sampled_from(["NULL", "", '"', "\\", '\\"', "{}", ",", "\n"])

    @given(st.lists(st.none() | odd | TEXTS))
    @settings(max_examples=200, deadline=None)
    def check(values: list[str | None]) -> None:
        rows = [None if row[0] is None else row[0].decode() for row in ECHO.rows(connection, [texts(values)])]
        assert rows == values

    check()


def test_numbers_words_and_nothing_make_an_array(connection: Connection) -> None:
    rows = list(ECHO.rows(connection, [plain([1, None, 2.5, "word"])]))
    assert rows == [(b"1",), (None,), (b"2.5",), (b"word",)]


def test_a_text_is_never_cut_at_its_nul(connection: Connection) -> None:
    with pytest.raises(psycopg.DataError, match=r"U\+0000"):
        ECHO.rows(connection, [texts(["before\0behind"])])


def test_an_error_is_of_the_class_that_psycopg_gives_it(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        HALF.rows(connection, ["0"])
    assert list(HALF.rows(connection, ["1"])) == [(b"1",)]


def test_it_is_part_of_the_transaction_around_it(connection: Connection) -> None:
    put = Statement("put", "INSERT INTO migrations (number) VALUES ($1::int)")
    with connection.transaction(force_rollback=True):
        put.rows(connection, ["4711"])
    assert connection.execute("SELECT count(*) FROM migrations WHERE number = 4711").fetchone() == (0,)


def test_a_connection_that_broke_is_an_operational_error_and_closed(
    connection: Connection, database: Database
) -> None:
    hot = database.connect()
    assert list(HALF.rows(hot, ["1"])) == [(b"1",)]
    connection.execute("SELECT pg_terminate_backend(%s)", [hot.info.backend_pid])
    with pytest.raises(psycopg.OperationalError):
        HALF.rows(hot, ["1"])
    assert hot.closed


def test_it_outlives_a_transaction_that_was_rolled_back(connection: Connection) -> None:
    for _ in range(5):  # until psycopg has prepared something of its own
        connection.execute("SELECT 1 + %s", [1])
    assert list(HALF.rows(connection, ["1"])) == [(b"1",)]
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT 1")
    connection.execute("SELECT 1 + %s", [1])
    assert list(HALF.rows(connection, ["1"])) == [(b"1",)]
