"""Rows as the reconciler would write them, for tests that begin behind it."""

from typing import Any

from psycopg.types.json import Json

from store.database import Connection
from store.deployment_rows import settle_admission


def deploy(connection: Connection, name: str, *, version: str, state: str = "active", **spec: Any) -> int:
    """A deployment row as the reconciler would write it. Gives its id."""
    connection.execute(
        "INSERT INTO versions (id, pattern, content) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [version, name, Json({"pattern": name, "spec": {}, "assets": {}, "calls": {}})],
    )
    row = connection.execute(
        """INSERT INTO deployments
               (organisation, name, pattern, environment, state, version_id, revision, hook_token)
           VALUES ('default', %(name)s, %(name)s, 'production', %(state)s, %(version)s, 1, 'hook-' || %(name)s)
           ON CONFLICT (organisation, name) DO UPDATE SET state = excluded.state, version_id = excluded.version_id,
               revision = deployments.revision + 1 RETURNING id""",
        {"name": name, "version": version, "state": state},
    ).fetchone()
    assert row is not None
    connection.execute(
        """INSERT INTO revisions (deployment_id, revision, state, version_id, spec, commit, author, message)
           SELECT id, revision, state, version_id, %s, 'c', 'a', 'm' FROM deployments WHERE id = %s""",
        [Json({"pattern": name, **spec}), row[0]],
    )
    settle_admission(connection, [row[0]])
    return int(row[0])
