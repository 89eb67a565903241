"""What people said of branches under review: approvals, and that one is closed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from store.database import Connection

MOST_APPROVALS = 500  # of one branch that are looked at, the newest


@dataclass(frozen=True, kw_only=True)
class NewApproval:
    """`plan` is the digest of what was approved; `admin`: with the rights of one."""

    organisation: str
    branch: str
    head: str
    plan: str
    user: str
    admin: bool
    message: str


class Approval(NamedTuple):
    branch: str
    head: str
    plan: str
    user: str
    admin: bool
    message: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class NewClosure:
    organisation: str
    branch: str
    head: str
    user: str
    message: str


class Closure(NamedTuple):
    branch: str
    head: str
    user: str
    message: str
    at: datetime


def add_approval(connection: Connection, new: NewApproval) -> None:
    """Write it. The same user's approval of the very same is one, with the latest words and rights."""
    connection.execute(
        """INSERT INTO approvals (organisation, branch, head, plan, user_name, admin, message)
           VALUES (%s, %s, %s, %s, %s, %s, %s)
           ON CONFLICT (organisation, branch, head, plan, user_name)
           DO UPDATE SET admin = excluded.admin, message = excluded.message, at = now()""",
        [new.organisation, new.branch, new.head, new.plan, new.user, new.admin, new.message],
    )


def approvals_of(
    connection: Connection, organisation: str, branches: Collection[str]
) -> Mapping[str, Sequence[Approval]]:
    """Branch → its approvals, the oldest first; those of earlier heads and plans included."""
    rows = connection.execute(
        """SELECT branch, head, plan, user_name, admin, message, at FROM (
               SELECT *, row_number() OVER (PARTITION BY branch ORDER BY at DESC, id DESC) AS place FROM approvals
               WHERE organisation = %s AND branch = ANY(%s)
           ) newest WHERE place <= %s ORDER BY at, id""",
        [organisation, list(branches), MOST_APPROVALS],
    )
    found: dict[str, list[Approval]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(Approval(*row))
    return found


def close_change(connection: Connection, new: NewClosure) -> None:
    """Write it. Of one branch the latest closure alone is kept."""
    connection.execute(
        """INSERT INTO closures (organisation, branch, head, user_name, message) VALUES (%s, %s, %s, %s, %s)
           ON CONFLICT (organisation, branch) DO UPDATE SET head = excluded.head,
               user_name = excluded.user_name, message = excluded.message, at = now()""",
        [new.organisation, new.branch, new.head, new.user, new.message],
    )


def closures_of(connection: Connection, organisation: str) -> Mapping[str, Closure]:
    """Branch → when it was closed last, unless it was pushed since."""
    rows = connection.execute(
        """SELECT branch, head, user_name, message, at FROM closures c
           WHERE organisation = %s AND NOT EXISTS (
               SELECT FROM ref_moves m
               WHERE m.organisation = c.organisation AND m.ref = 'refs/heads/' || c.branch AND m.at > c.at
           )""",
        [organisation],
    )
    return {row[0]: Closure(*row) for row in rows}
