"""The rows of stored secrets and of the data keys that they are encrypted with."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from store.database import SECRETS_CHANGED, Connection, scalar


class DataKey(NamedTuple):
    """An organisation's, sealed with the key that `sealed_by` names."""

    organisation: str
    id: str
    sealed: bytes
    sealed_by: str


class Sealed(NamedTuple):
    """A secret with the organisation's data key (None: it is lost). `environment` empty: of all."""

    organisation: str
    environment: str
    name: str
    key_id: str
    sealed: bytes
    key: DataKey | None


class StoredName(NamedTuple):
    """What may be shown of a stored secret. `version` counts its values since it was first set."""

    environment: str
    name: str
    version: int
    updated_at: datetime
    updated_by: str


class Written(NamedTuple):
    """A secret as it is to be written."""

    environment: str
    name: str
    key_id: str
    sealed: bytes


# One statement, and so one moment: a secret never comes with the key of before or after.
_SEALED = """SELECT s.organisation, s.environment, s.name, s.key_id::text, s.sealed,
        k.organisation, k.id::text, k.sealed, k.sealed_by
    FROM secrets s LEFT JOIN secret_keys k ON k.organisation = s.organisation"""
_SHOWN = "environment, name, version, updated_at, updated_by"


def find_sealed(connection: Connection, organisation: str, environment: str, name: str) -> Sealed | None:
    """That of the environment, else that of all environments."""
    row = connection.execute(
        f"""{_SEALED} WHERE s.organisation = %s AND s.environment IN (%s, '') AND s.name = %s
            ORDER BY s.environment DESC LIMIT 1""".encode(),
        [organisation, environment, name],
    ).fetchone()
    return None if row is None else _sealed(row)


def all_sealed(connection: Connection, organisation: str | None = None) -> Iterable[Sealed]:
    """Of one organisation, or of all."""
    rows = connection.execute(
        f"{_SEALED} WHERE %(organisation)s::text IS NULL OR s.organisation = %(organisation)s"
        " ORDER BY 1, 2, 3".encode(),
        {"organisation": organisation},
    )
    return map(_sealed, rows)


def stored_names(connection: Connection, organisation: str) -> list[StoredName]:
    """By name, those of all environments first."""
    rows = connection.execute(
        f"SELECT {_SHOWN} FROM secrets WHERE organisation = %s ORDER BY name, environment".encode(),  # noqa: S608 (a constant)
        [organisation],
    )
    return [StoredName(*row) for row in rows]


def count_stored(connection: Connection) -> int:
    """Of all organisations."""
    return int(scalar(connection, "SELECT count(*) FROM secrets"))


def lock_for_writing(connection: Connection) -> None:
    """Until the transaction ends nobody replaces data keys. Writers do not wait for each other."""
    connection.execute("LOCK TABLE secrets IN ROW EXCLUSIVE MODE")


def lock_for_rotation(connection: Connection) -> None:
    """Until the transaction ends nobody writes a secret or replaces a data key; readers go on."""
    connection.execute("LOCK TABLE secrets IN SHARE ROW EXCLUSIVE MODE")


def put_sealed(connection: Connection, organisation: str, written: Written, by: str) -> StoredName:
    row = connection.execute(
        f"""INSERT INTO secrets AS s (organisation, environment, name, key_id, sealed, updated_by)
            VALUES (%s, %s, %s, %s, %s, %s)
            ON CONFLICT (organisation, environment, name) DO UPDATE SET key_id = excluded.key_id,
                sealed = excluded.sealed, version = s.version + 1, updated_at = now(),
                updated_by = excluded.updated_by
            RETURNING {_SHOWN}""".encode(),  # noqa: S608 (a constant)
        [organisation, *written, by],
    ).fetchone()
    assert row is not None
    return StoredName(*row)


def replace_sealed(connection: Connection, organisation: str, written: Iterable[Written]) -> None:
    """Other bytes for the same values."""
    columns = list(zip(*written, strict=True))
    if columns:
        connection.execute(
            """UPDATE secrets s SET key_id = w.key_id, sealed = w.sealed
               FROM unnest(%s::text[], %s::text[], %s::uuid[], %s::bytea[])
                   AS w (environment, name, key_id, sealed)
               WHERE s.organisation = %s AND s.environment = w.environment AND s.name = w.name""",
            [*map(list, columns), organisation],
        )


def delete_sealed(
    connection: Connection, organisation: str, environment: str, name: str
) -> StoredName | None:
    row = connection.execute(
        f"""DELETE FROM secrets WHERE organisation = %s AND environment = %s AND name = %s
            RETURNING {_SHOWN}""".encode(),  # noqa: S608 (a constant)
        [organisation, environment, name],
    ).fetchone()
    return None if row is None else StoredName(*row)


def find_key(connection: Connection, organisation: str) -> DataKey | None:
    rows = connection.execute(
        "SELECT organisation, id::text, sealed, sealed_by FROM secret_keys WHERE organisation = %s",
        [organisation],
    )
    row = rows.fetchone()
    return None if row is None else DataKey(*row)


def keys_not_sealed_by(connection: Connection, sealer: str) -> list[DataKey]:
    rows = connection.execute(
        "SELECT organisation, id::text, sealed, sealed_by FROM secret_keys WHERE sealed_by <> %s"
        " ORDER BY organisation",
        [sealer],
    )
    return [DataKey(*row) for row in rows]


def add_key(connection: Connection, key: DataKey) -> None:
    """Unless the organisation has one by now."""
    connection.execute(
        "INSERT INTO secret_keys (organisation, id, sealed, sealed_by) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        key,
    )


def replace_key(connection: Connection, key: DataKey) -> None:
    connection.execute(
        "UPDATE secret_keys SET id = %s, sealed = %s, sealed_by = %s, made_at = now() WHERE organisation = %s",
        [*key[1:], key.organisation],
    )


def tell(connection: Connection, organisation: str) -> None:
    """To all processes, once the transaction is committed: what they remember of its secrets is of before."""
    connection.execute("SELECT pg_notify(%s, %s)", [SECRETS_CHANGED, organisation])


def _sealed(row: tuple[Any, ...]) -> Sealed:
    organisation, environment, name, key_id, sealed, *key = row
    return Sealed(organisation, environment, name, key_id, sealed, None if key[0] is None else DataKey(*key))
