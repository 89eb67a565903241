"""Pull requests at the forge, as far as their plans are to be told there."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from store.database import FORGE_EVENT, Connection

LEASE = 300.0
"""Seconds that a claimed one is left to whoever claimed it; who works on it must be done before."""

_COLUMNS = """organisation, forge, repository, number, state, events, told_events, head, onto, said, comment,
    attempts, due_at, error, updated_at"""


class Place(NamedTuple):
    """Which repository at which forge. `repository` is owner/name."""

    organisation: str
    forge: str
    repository: str


class PullRequest(NamedTuple):
    """`state`: open, closed, or given-up (after `error`, until another event). `head`, `onto` are commits."""

    organisation: str
    forge: str
    repository: str
    number: int
    state: str
    events: int
    told_events: int
    head: str | None
    onto: str | None
    said: str | None
    comment: str | None
    attempts: int
    due_at: datetime | None
    error: str | None
    updated_at: datetime

    @property
    def is_asked(self) -> bool:
        """Whether an event came since the forge was asked last."""
        return self.events > self.told_events


def add_event(connection: Connection, place: Place, number: int) -> None:
    """Something happened to a pull request: the controller looks at it, at once."""
    connection.execute(
        """INSERT INTO pull_requests AS p (organisation, forge, repository, number)
           VALUES (%s, %s, lower(%s), %s)
           ON CONFLICT (organisation, forge, repository, number) DO UPDATE SET
               events = p.events + 1, state = 'open', updated_at = now(),
               -- Whoever is at it will see that there is more to do, and two at once would comment twice.
               due_at = CASE WHEN p.claimed AND p.due_at > now() THEN p.due_at ELSE now() END,
               attempts = CASE WHEN p.claimed AND p.due_at > now() THEN p.attempts ELSE 0 END""",
        [*place, number],
    )
    connection.execute("SELECT pg_notify(%s, '')", [FORGE_EVENT])


def known_kinds(connection: Connection, organisation: str, repository: str) -> list[str]:
    """The forges that told of this repository before."""
    rows = connection.execute(
        "SELECT DISTINCT forge FROM pull_requests WHERE organisation = %s AND repository = lower(%s) ORDER BY 1",
        [organisation, repository],
    )
    return [row[0] for row in rows]


def missed(connection: Connection, place: Place, heads: Mapping[int, str]) -> list[int]:
    """What happened without an event, by number. `heads` are those of all that are open at the forge now.

    What waits to be looked at is left out, and what was given up: its next event begins anew.
    """
    rows = connection.execute(
        """SELECT number, CASE state WHEN 'open' THEN head END, due_at IS NOT NULL OR state = 'given-up'
           FROM pull_requests WHERE organisation = %s AND forge = %s AND repository = lower(%s)""",
        [*place],
    ).fetchall()
    told = {number: head for number, head, _ in rows}
    left = {number for number, _, is_left in rows if is_left}
    numbers = (told.keys() | heads.keys()) - left
    return sorted(number for number in numbers if told.get(number) != heads.get(number))


def claim_due(connection: Connection, organisation: str, repository: str) -> PullRequest | None:
    """The one that waits longest; nobody else gets it for LEASE seconds."""
    row = connection.execute(
        f"""UPDATE pull_requests SET due_at = now() + %s * interval '1 second', attempts = attempts + 1,
                claimed = true, updated_at = now()
            WHERE (organisation, forge, repository, number) = (
                SELECT organisation, forge, repository, number FROM pull_requests
                WHERE organisation = %s AND repository = lower(%s) AND due_at <= now()
                ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING {_COLUMNS}""".encode(),  # noqa: S608
        [LEASE, organisation, repository],
    ).fetchone()
    return None if row is None else PullRequest(*row)


def mark_outdated(connection: Connection, organisation: str, repository: str) -> int:
    """Those whose plan was made against another default branch than there is now are due. Gives how many."""
    return connection.execute(
        """UPDATE pull_requests p SET due_at = now(), attempts = 0 FROM repositories r
           WHERE p.organisation = %s AND p.repository = lower(%s) AND p.state = 'open' AND p.due_at IS NULL
             AND r.organisation = p.organisation AND p.onto IS NOT NULL AND p.onto <> r.tried_commit""",
        [organisation, repository],
    ).rowcount


def seconds_to_next(connection: Connection, organisation: str, repository: str) -> float | None:
    """Until something is due; None when nothing is."""
    row = connection.execute(
        """SELECT extract(epoch FROM min(due_at) - now()) FROM pull_requests
           WHERE organisation = %s AND repository = lower(%s) AND due_at IS NOT NULL""",
        [organisation, repository],
    ).fetchone()
    return None if row is None or row[0] is None else max(0.0, float(row[0]))


def default_commit(connection: Connection, organisation: str) -> str | None:
    """The default branch's commit that was looked at last, as `mark_outdated` compares it."""
    row = connection.execute(
        "SELECT tried_commit FROM repositories WHERE organisation = %s", [organisation]
    ).fetchone()
    return None if row is None else row[0]


def keep_comment(connection: Connection, request: PullRequest, comment: str) -> None:
    """At once when it is known, so that hardly any crash needs a search for it."""
    connection.execute(
        f"UPDATE pull_requests SET comment = %s WHERE {_KEY}".encode(),  # noqa: S608
        [comment, *_key(request)],
    )


def settle(connection: Connection, request: PullRequest, *, head: str, onto: str | None, said: str) -> None:
    """It is told. An event that came meanwhile makes it due again."""
    _finish(connection, request, state="open", head=head, onto=onto, said=said)


def close(connection: Connection, request: PullRequest) -> None:
    """Closed or merged: there is nothing more to say."""
    _finish(connection, request, state="closed", head=None, onto=None, said=None)


def give_up(connection: Connection, request: PullRequest, why: str) -> None:
    """Until the next event."""
    _finish(connection, request, state="given-up", head=request.head, onto=None, said=None, error=why)


def retry(connection: Connection, request: PullRequest, why: str, *, after: float) -> None:
    """Again in so many seconds, or as soon as an event has come."""
    connection.execute(
        f"""UPDATE pull_requests SET error = %s, claimed = false, updated_at = now(),
                due_at = CASE WHEN events > %s THEN now() ELSE now() + %s * interval '1 second' END
            WHERE {_KEY}""".encode(),  # noqa: S608
        [why, request.events, after, *_key(request)],
    )


def list_pull_requests(connection: Connection, organisation: str, limit: int) -> list[PullRequest]:
    """Up to `limit`, the one that changed last first."""
    rows = connection.execute(
        f"""SELECT {_COLUMNS} FROM pull_requests
            WHERE organisation = %s ORDER BY updated_at DESC, number DESC LIMIT %s""".encode(),  # noqa: S608
        [organisation, limit],
    )
    return [PullRequest(*row) for row in rows]


_KEY = "organisation = %s AND forge = %s AND repository = %s AND number = %s"


def _key(request: PullRequest) -> list[str | int]:
    return [request.organisation, request.forge, request.repository, request.number]


def _finish(
    connection: Connection,
    request: PullRequest,
    *,
    state: str,
    head: str | None,
    onto: str | None,
    said: str | None,
    error: str | None = None,
) -> None:
    connection.execute(
        f"""UPDATE pull_requests SET head = %s, onto = %s, said = %s, error = %s, told_events = %s, attempts = 0,
                claimed = false,
                state = CASE WHEN events > %s THEN 'open' ELSE %s END,
                due_at = CASE WHEN events > %s THEN now() END, updated_at = now()
            WHERE {_KEY}""".encode(),  # noqa: S608
        [head, onto, said, error, request.events, request.events, state, request.events, *_key(request)],
    )
