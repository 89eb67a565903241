"""The secrets that Weft keeps itself: encrypted with a data key, which is sealed with the process' key."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from store.database import Connection, Database
from store.secrets import rows
from store.secrets.errors import SecretUnreadable
from store.secrets.rows import DataKey, Sealed, StoredName, Written
from store.secrets.sealing import SealBroken, Sealer, new_key, seal, unseal

_DATA_KEY: Final = "data key"
_SECRET: Final = "secret"  # noqa: S105 (what a seal is for)


class Rotated(NamedTuple):
    """`secrets`: encrypted anew. `organisations`: whose data keys were sealed by an old key."""

    secrets: int
    organisations: tuple[str, ...]


class StoredSecrets:
    def __init__(self, database: Database, key: bytes, old_keys: Iterable[bytes] = ()) -> None:
        """`old_keys`: what `key` may have been before; data keys that they have sealed are opened, too."""
        self._database = database
        self._sealer = Sealer.of(key)
        self._sealers = {one.name: one for one in (*map(Sealer.of, old_keys), self._sealer)}

    def find(self, organisation: str, environment: str, name: str) -> str | None:
        """Raises SecretUnreadable, StoreUnavailable."""
        with self._database.connection() as connection:
            found = rows.find_sealed(connection, organisation, environment, name)
        return None if found is None else self._opened(found)

    def names(self, organisation: str) -> list[StoredName]:
        with self._database.connection() as connection:
            return rows.stored_names(connection, organisation)

    def put(self, organisation: str, environment: str, name: str, value: str, *, by: str) -> StoredName:
        """Set it. `environment` empty: for all. Raises SecretUnreadable where the data key cannot be opened."""
        with self._database.transaction() as connection:
            rows.lock_for_writing(connection)
            key = self._key(connection, organisation)
            written = self._sealed(key, organisation, environment, name, value)
            stored = rows.put_sealed(connection, organisation, written, by)
            rows.tell(connection, organisation)
        return stored

    def delete(self, organisation: str, environment: str, name: str) -> StoredName | None:
        """What it was; None where nothing is stored under this name for this environment."""
        with self._database.transaction() as connection:
            gone = rows.delete_sealed(connection, organisation, environment, name)
            if gone is not None:
                rows.tell(connection, organisation)
        return gone

    def rotate(self, organisation: str) -> Rotated:
        """A new data key, and every secret of the organisation encrypted with it; data keys of all organisations
        that an old key has sealed are sealed by the present one. All at one moment: who reads
        meanwhile reads what was before.

        Raises SecretUnreadable, and nothing has changed, when one of them cannot be opened.
        """
        with self._database.transaction() as connection:
            rows.lock_for_rotation(connection)
            moved = self._seal_anew(connection)
            values = [(one, self._opened(one)) for one in rows.all_sealed(connection, organisation)]
            if rows.find_key(connection, organisation) is not None:
                key = _Opened(str(uuid.uuid4()), new_key())
                rows.replace_key(connection, self._locked_up(key, organisation))
                written = [
                    self._sealed(key, organisation, one.environment, one.name, value) for one, value in values
                ]
                rows.replace_sealed(connection, organisation, written)
                rows.tell(connection, organisation)
        return Rotated(len(values), moved)

    def unreadable(self) -> Iterator[SecretUnreadable]:
        """Of all organisations: one for each secret that cannot be opened."""
        with self._database.connection() as connection:
            for one in rows.all_sealed(connection):
                try:
                    self._opened(one)
                except SecretUnreadable as error:
                    yield error

    def under_old_keys(self) -> list[str]:
        """The organisations whose data key the present key has not sealed."""
        with self._database.connection() as connection:
            return [key.organisation for key in rows.keys_not_sealed_by(connection, self._sealer.name)]

    def _seal_anew(self, connection: Connection) -> tuple[str, ...]:
        moved = rows.keys_not_sealed_by(connection, self._sealer.name)
        for key in moved:
            opened = _Opened(key.id, self._unlocked(key))
            rows.replace_key(connection, self._locked_up(opened, key.organisation))
        return tuple(key.organisation for key in moved)

    def _key(self, connection: Connection, organisation: str) -> _Opened:
        found = rows.find_key(connection, organisation)
        if found is None:
            made = _Opened(str(uuid.uuid4()), new_key())
            rows.add_key(connection, self._locked_up(made, organisation))
            found = rows.find_key(connection, organisation)  # of whoever was first
            assert found is not None
        return _Opened(found.id, self._unlocked(found))

    def _locked_up(self, key: _Opened, organisation: str) -> DataKey:
        sealed = seal(self._sealer.key, key.key, _DATA_KEY, organisation, key.id)
        return DataKey(organisation, key.id, sealed, self._sealer.name)

    def _unlocked(self, key: DataKey) -> bytes:
        sealer = self._sealers.get(key.sealed_by)
        if sealer is None:
            raise SecretUnreadable(
                f"The stored secrets of the organisation {key.organisation} are encrypted with another key than"
                " this process has: give it the right WEFT_SECRETS_KEY, or without one the right"
                " WEFT_INSTALLATION_KEY; where it was changed, the one of before as WEFT_SECRETS_KEY_OLD."
            )
        try:
            return unseal(sealer.key, key.sealed, _DATA_KEY, key.organisation, key.id)
        except SealBroken as error:
            raise SecretUnreadable(
                f"The data key of the secrets of the organisation {key.organisation} was changed in the database"
                " (table secret_keys): restore it from a backup, or delete its row and set the secrets again."
            ) from error

    def _sealed(self, key: _Opened, organisation: str, environment: str, name: str, value: str) -> Written:
        sealed = seal(key.key, value.encode(), _SECRET, organisation, environment, name, key.id)
        return Written(environment, name, key.id, sealed)

    def _opened(self, one: Sealed) -> str:
        if one.key is None or one.key.id != one.key_id:
            raise _damaged(one, "the key that it was encrypted with is not there")
        place = (_SECRET, one.organisation, one.environment, one.name, one.key_id)
        try:
            return unseal(self._unlocked(one.key), one.sealed, *place).decode()
        except SealBroken as error:
            raise _damaged(one, "its row was changed in the database, or belongs elsewhere") from error


class _Opened(NamedTuple):
    id: str
    key: bytes


def _damaged(one: Sealed, why: str) -> SecretUnreadable:
    where = f"for the environment {one.environment}" if one.environment else "for all environments"
    option = f" --environment {one.environment}" if one.environment else ""
    return SecretUnreadable(
        f"The stored secret {one.name} ({where}, organisation {one.organisation}) cannot be decrypted: {why}."
        f" Set it again: weft secret set {one.name}{option}"
    )
