"""The connections of an organisation: what its applied default branch says, by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from schemas.pattern import JSON
from store.database import Connection


class Applied(NamedTuple):
    """A connection as the default branch has it. `commit` is the one that brought it."""

    name: str
    spec: Mapping[str, JSON]
    commit: str
    at: datetime


def write_connections(
    connection: Connection,
    organisation: str,
    specs: Mapping[str, Mapping[str, JSON]],
    *,
    commit: str,
    keep: Collection[str] = (),
) -> bool:
    """Make `specs` (by name) the only ones, but for those in `keep`. Gives whether anything was another."""
    row = connection.execute(
        """WITH wanted AS (SELECT * FROM unnest(%(names)s::text[], %(specs)s::text[]) AS w (name, spec)),
               written AS (
                   INSERT INTO connections AS c (organisation, name, spec, commit)
                   SELECT %(organisation)s, w.name, w.spec::json, %(commit)s FROM wanted w
                   ON CONFLICT (organisation, name) DO UPDATE
                       SET spec = excluded.spec, commit = excluded.commit, applied_at = now()
                       WHERE c.spec::text <> excluded.spec::text
                   RETURNING 1),
               gone AS (
                   DELETE FROM connections
                   WHERE organisation = %(organisation)s AND name <> ALL (%(names)s) AND name <> ALL (%(keep)s)
                   RETURNING 1)
           SELECT EXISTS (SELECT FROM written) OR EXISTS (SELECT FROM gone)""",
        {
            "organisation": organisation,
            "names": list(specs),
            "specs": [json.dumps(spec, sort_keys=True) for spec in specs.values()],
            "commit": commit,
            "keep": list(keep),
        },
    ).fetchone()
    assert row is not None
    return bool(row[0])


def connection_spec(connection: Connection, organisation: str, name: str) -> Mapping[str, JSON] | None:
    """What the applied default branch says of a connection; None where it has none of that name."""
    row = connection.execute(
        "SELECT spec FROM connections WHERE organisation = %s AND name = %s", [organisation, name]
    ).fetchone()
    return None if row is None else dict(row[0])


def list_connections(connection: Connection, organisation: str) -> list[Applied]:
    """All of them, by name."""
    rows = connection.execute(
        "SELECT name, spec, commit, applied_at FROM connections WHERE organisation = %s ORDER BY name",
        [organisation],
    )
    return [Applied(*row) for row in rows]


def connection_names(connection: Connection, organisation: str) -> list[str]:
    rows = connection.execute(
        "SELECT name FROM connections WHERE organisation = %s ORDER BY name", [organisation]
    )
    return [row[0] for row in rows]
