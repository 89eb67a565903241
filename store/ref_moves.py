"""Who moved which branch or tag."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from store.database import REFS_MOVED, Connection


class RefMove(NamedTuple):
    """`old` is None for a ref that was not there, `new` for one that is gone.

    `user` is None for what was found to have moved without a push that Weft finished.
    """

    id: int
    ref: str
    old: str | None
    new: str | None
    user: str | None
    at: datetime


Move = tuple[str, str | None, str | None]
"""Ref, old and new object id."""


def record_moves(connection: Connection, organisation: str, moves: Sequence[Move], user: str | None) -> None:
    """Write them, in the caller's transaction: with what they made live, or not at all. Who mirrors hears it."""
    if moves:
        refs, olds, news = zip(*moves, strict=True)
        connection.execute(
            """WITH written AS (
                   INSERT INTO ref_moves (organisation, ref, old, new, user_name)
                   SELECT %s, ref, old, new, %s FROM unnest(%s::text[], %s::text[], %s::text[]) AS t (ref, old, new)
               ) SELECT pg_notify(%s, %s)""",
            [organisation, user, list(refs), list(olds), list(news), REFS_MOVED, organisation],
        )


def last_known(connection: Connection, organisation: str) -> dict[str, str]:
    """Ref → where its last recorded move left it, for those that were not deleted."""
    rows = connection.execute(
        """SELECT ref, new FROM (
               SELECT DISTINCT ON (ref) ref, new FROM ref_moves WHERE organisation = %s ORDER BY ref, id DESC
           ) last WHERE new IS NOT NULL""",
        [organisation],
    )
    return dict(rows.fetchall())


def list_moves(
    connection: Connection, organisation: str, refs: Collection[str] | None, before: int | None, limit: int
) -> list[RefMove]:
    """Up to `limit` moves with ids below `before`, newest first; `refs`: of these alone."""
    rows = connection.execute(
        """SELECT id, ref, old, new, user_name, at FROM ref_moves
           WHERE organisation = %(organisation)s AND (%(refs)s::text[] IS NULL OR ref = ANY(%(refs)s))
             AND (%(before)s::bigint IS NULL OR id < %(before)s)
           ORDER BY id DESC LIMIT %(limit)s""",
        {
            "organisation": organisation,
            "refs": None if refs is None else list(refs),
            "before": before,
            "limit": limit,
        },
        prepare=False,
    )
    return [RefMove(*row) for row in rows]


def last_moved(connection: Connection, organisation: str, refs: Collection[str]) -> dict[str, datetime]:
    """Ref → when it moved last, of those that ever did."""
    rows = connection.execute(
        """SELECT DISTINCT ON (ref) ref, at FROM ref_moves WHERE organisation = %s AND ref = ANY(%s)
           ORDER BY ref, id DESC""",
        [organisation, list(refs)],
    )
    return dict(rows.fetchall())


def first_pushers(connection: Connection, organisation: str, commits: Collection[str]) -> list[str]:
    """Who was the first to push one of these commits as the head of a branch, by name."""
    rows = connection.execute(
        """SELECT DISTINCT user_name FROM (
               SELECT DISTINCT ON (new) user_name FROM ref_moves
               WHERE organisation = %s AND new = ANY(%s) AND starts_with(ref, 'refs/heads/') ORDER BY new, id
           ) first WHERE user_name IS NOT NULL ORDER BY user_name""",
        [organisation, list(commits)],
    )
    return [row[0] for row in rows]
