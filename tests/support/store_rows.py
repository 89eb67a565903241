"""Rows as the reconciler would write them, for tests that begin behind it."""

from psycopg.types.json import Json

from store.database import Connection


def deploy(connection: Connection, name: str, *, version: str, state: str = "active") -> int:
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
    return int(row[0])
