"""The mirror of a repository that is kept elsewhere: who keeps it, how it does, and asking for a look now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import orjson

from store.database import REFS_MOVED, UPSTREAM_ASKED, Connection, connect, scalar

LEADER_SPACE = 0x75707300  # "ups": the first key of the lock that one mirror of an organisation holds


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A ref that is elsewhere on each side, and stays so until a person has run `resolve` (commands of a shell).

    `here`, `there`: ids, None where it is not.
    """

    ref: str
    here: str | None
    there: str | None
    reason: str
    resolve: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A ref of the upstream that cannot be here. `ref` as far as it can be shown."""

    ref: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """How one look at the upstream ended. `error` None: it was reached, and everything could be decided."""

    error: str | None = None
    apart: tuple[Apart, ...] = ()
    skipped: tuple[Skipped, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UpstreamState:
    """`failing_since`: of the first look of those that ended with an error, up to the last one."""

    url: str
    looked_at: datetime
    synced_at: datetime | None
    failing_since: datetime | None
    look: Look = field(default_factory=Look)


def ask_for_sync(connection: Connection, organisation: str) -> None:
    """The controller looks at the organisation's upstream as soon as this is committed. Harmless without one."""
    connection.execute("SELECT pg_notify(%s, %s)", [UPSTREAM_ASKED, organisation])


def hear_requests(connection: Connection) -> None:
    """From now on the connection hears of requests, and of refs that moved here."""
    for channel in (UPSTREAM_ASKED, REFS_MOVED):
        connection.execute(f"LISTEN {channel}".encode())


def try_to_lead(connection: Connection, organisation: str) -> bool:
    """Whether this connection is the one that keeps the mirror, until it ends."""
    taken = scalar(connection, "SELECT pg_try_advisory_lock(%s, hashtext(%s))", [LEADER_SPACE, organisation])
    return bool(taken)


def record_look(connection: Connection, organisation: str, url: str, look: Look) -> None:
    """By the database's clock. Another URL than before begins anew."""
    connection.execute(
        """INSERT INTO upstreams AS u
               (organisation, url, looked_at, synced_at, failing_since, error, apart, skipped)
           VALUES (%(organisation)s, %(url)s, now(), CASE WHEN %(error)s::text IS NULL THEN now() END,
               CASE WHEN %(error)s::text IS NOT NULL THEN now() END, %(error)s,
               %(apart)s::jsonb, %(skipped)s::jsonb)
           ON CONFLICT (organisation) DO UPDATE SET url = excluded.url, looked_at = excluded.looked_at,
               synced_at = CASE WHEN excluded.synced_at IS NULL AND u.url = excluded.url THEN u.synced_at
                   ELSE excluded.synced_at END,
               failing_since = CASE WHEN excluded.error IS NOT NULL AND u.url = excluded.url
                   THEN coalesce(u.failing_since, excluded.failing_since) ELSE excluded.failing_since END,
               error = excluded.error, apart = excluded.apart, skipped = excluded.skipped""",
        {
            "organisation": organisation,
            "url": url,
            "error": look.error,
            "apart": orjson.dumps([asdict(one) for one in look.apart]).decode(),
            "skipped": orjson.dumps([asdict(one) for one in look.skipped]).decode(),
        },
    )


def forget_upstream(connection: Connection, organisation: str) -> None:
    """For an organisation that mirrors nothing any more."""
    connection.execute("DELETE FROM upstreams WHERE organisation = %s", [organisation])


def upstream_state(connection: Connection, organisation: str) -> UpstreamState | None:
    """None where nothing is mirrored, or nothing was looked at yet."""
    row = connection.execute(
        """SELECT url, looked_at, synced_at, failing_since, error, apart, skipped FROM upstreams
           WHERE organisation = %s""",
        [organisation],
    ).fetchone()
    if row is None:
        return None
    url, looked_at, synced_at, failing_since, error, apart, skipped = row
    look = Look(
        error=error,
        apart=tuple(Apart(**one) for one in apart),
        skipped=tuple(Skipped(**one) for one in skipped),
    )
    return UpstreamState(
        url=url, looked_at=looked_at, synced_at=synced_at, failing_since=failing_since, look=look
    )


def look_up(url: str, organisation: str) -> UpstreamState | None:
    """Of the database at `url`, which may be one that was never migrated. Raises psycopg.Error."""
    with connect(url) as connection:
        if scalar(connection, "SELECT to_regclass('upstreams') IS NULL"):
            return None
        return upstream_state(connection, organisation)
