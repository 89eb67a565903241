"""What `weft doctor` looks at of secrets: that those which are stored can be decrypted, and that others answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg

from cli.checks import Check
from cli.embedded import postgres
from cli.errors import StartError
from cli.installation import find_key, holder
from cli.settings import Settings
from store.database import Database, connect
from store.secrets import SecretPlaces
from store.secrets.errors import SecretsUnavailable
from store.secrets.rows import count_stored
from store.secrets.stored import StoredSecrets
from store.secrets.vault import Vault
from store.settings import VaultSettings

MOST = 10
"""Secrets that cannot be decrypted and are named."""


def secret_checks(settings: Settings) -> Iterator[Check]:
    url = settings.database_url or postgres.running_url(settings.data)
    if url is not None and (settings.database_url is not None or holder(settings.data) is not None):
        yield from check_stored(settings, url)
    if settings.secrets_dir is not None:
        yield check_folder(settings.secrets_dir)
    if settings.vault is not None:
        yield check_vault(settings.vault)


def check_stored(settings: Settings, url: str) -> Iterator[Check]:
    """Nothing where the database says nothing: its own checks tell why."""
    try:
        with connect(url) as connection:
            count = count_stored(connection)
    except psycopg.Error:
        return
    if count == 0:
        yield Check(name="secrets", found="none stored")
        return
    try:
        key = find_key(settings)
    except StartError as error:
        yield Check(name="secrets", found=f"{count} stored, and no key for them", remedy=str(error))
        return
    places = SecretPlaces(installation_key=key, key=settings.secrets_key, old_key=settings.secrets_key_old)
    database = Database(url, connections=1)
    try:
        yield from _stored(places.stored(database), count)
    finally:
        database.close()


def _stored(stored: StoredSecrets, count: int) -> Iterator[Check]:
    wrong = list(stored.unreadable())
    # One key that is wrong is one thing to do, however many secrets it concerns.
    messages = list(dict.fromkeys(str(error) for error in wrong))
    for message in messages[:MOST]:
        found, _, remedy = message.partition(": ")
        yield Check(name="secrets", found=found, remedy=remedy)
    if len(messages) > MOST:
        more = f"{len(messages) - MOST} more secrets cannot be decrypted"
        yield Check(name="secrets", found=more, remedy="see above")
    if wrong:
        return
    old = stored.under_old_keys()
    if old:
        yield Check(
            name="secrets",
            found=f"{count} can be decrypted, some with an old key alone ({', '.join(old)})",
            remedy="weft secret rotate, and then take WEFT_SECRETS_KEY_OLD away where it is set",
        )
    else:
        yield Check(name="secrets", found=f"{count} stored, all can be decrypted")


def check_folder(folder: Path) -> Check:
    if os.access(folder, os.R_OK | os.X_OK) and folder.is_dir():
        return Check(name="secret files", found=f"{folder} can be read")
    found = f"{folder} {'cannot be read' if folder.exists() else 'is not there'}"
    return Check(name="secret files", found=found, remedy="see WEFT_SECRETS_DIR")


def check_vault(settings: VaultSettings) -> Check:
    vault = Vault(settings)
    try:
        return Check(name="vault", found=vault.check())
    except SecretsUnavailable as error:
        return Check(name="vault", found=str(error), remedy="start or unseal it, or see WEFT_VAULT_…")
    finally:
        vault.close()
