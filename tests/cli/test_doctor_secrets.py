"""`weft doctor` says whether secrets can be read: with this key, from this folder, from this Vault."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from vault_site import Token, VaultSite
from weft_command import weft_here

from store.database import Database
from store.secrets.stored import StoredSecrets

KEY, OTHER, THIRD = "aa" * 32, "bb" * 32, "cc" * 32


@pytest.fixture
def stored(database_url: str) -> Iterator[StoredSecrets]:
    database = Database(database_url, connections=1)
    yield StoredSecrets(database, bytes.fromhex(KEY))
    database.close()


def checks(data: Path, **environ: str) -> tuple[str, list[dict[str, Any]]]:
    done = weft_here("doctor", "--data", str(data), "--json", environ={"WEFT_PORT": "0"} | environ)
    found = json.loads(done.stdout)["checks"]
    return done.stdout, [one for one in found if one["name"] in ("secrets", "secret files", "vault")]


def test_stored_secrets_are_decrypted_with_the_installation_key(
    tmp_path: Path, database_url: str, redis_url: str, stored: StoredSecrets
) -> None:
    servers = {"WEFT_DATABASE_URL": database_url, "WEFT_REDIS_URL": redis_url}
    assert [one["found"] for one in checks(tmp_path, **servers)[1]] == ["none stored"]
    stored.put("default", "", "TOKEN", "hunter2", by="ada")
    stored.put("acme", "", "TOKEN", "hunter2", by="ada")
    [keyless] = checks(tmp_path, **servers)[1]
    assert "WEFT_INSTALLATION_KEY is not set" in keyless["remedy"]
    [fine] = checks(tmp_path, WEFT_INSTALLATION_KEY=KEY, **servers)[1]
    assert (fine["found"], fine["ok"]) == ("2 stored, all can be decrypted", True)
    said, wrong = checks(tmp_path, WEFT_INSTALLATION_KEY=OTHER, **servers)
    assert len(wrong) == 2
    assert all("give it the right WEFT_SECRETS_KEY" in one["remedy"] for one in wrong)
    more = ""
    for changing in (
        {"WEFT_INSTALLATION_KEY": KEY, "WEFT_SECRETS_KEY": OTHER},
        {"WEFT_INSTALLATION_KEY": OTHER, "WEFT_SECRETS_KEY_OLD": KEY},
        {"WEFT_INSTALLATION_KEY": THIRD, "WEFT_SECRETS_KEY": OTHER, "WEFT_SECRETS_KEY_OLD": KEY},
    ):
        told, [half] = checks(tmp_path, **changing, **servers)
        assert half["remedy"].startswith("weft secret rotate")
        more += told
    assert KEY not in said + more
    assert "hunter2" not in said + more


def test_a_changed_row_is_named(
    tmp_path: Path, database_url: str, redis_url: str, stored: StoredSecrets
) -> None:
    for number in range(12):
        stored.put("default", "staging", f"TOKEN_{number}", "hunter2", by="ada")
    database = Database(database_url, connections=1)
    with database.connection() as connection:
        connection.execute("UPDATE secrets SET sealed = '\\x00'")
    database.close()
    servers = {"WEFT_DATABASE_URL": database_url, "WEFT_REDIS_URL": redis_url, "WEFT_INSTALLATION_KEY": KEY}
    found = checks(tmp_path, **servers)[1]
    assert len(found) == 11
    assert found[0]["found"].startswith("The stored secret TOKEN_0 (for the environment staging")
    assert found[0]["remedy"].endswith("weft secret set TOKEN_0 --environment staging")
    assert found[-1]["found"] == "2 more secrets cannot be decrypted"


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    [there] = checks(tmp_path / "data", WEFT_SECRETS_DIR=str(tmp_path))[1]
    assert there["ok"]
    [missing] = checks(tmp_path / "data", WEFT_SECRETS_DIR=str(tmp_path / "nowhere"))[1]
    assert missing["found"] == f"{tmp_path}/nowhere is not there"
    assert missing["remedy"] == "see WEFT_SECRETS_DIR"


def test_vault_is_asked_as_whom_weft_comes(tmp_path: Path) -> None:
    vault = VaultSite()
    vault.roles["weft", "s3cret"] = Token(ttl=60)
    environ = {"WEFT_VAULT_URL": vault.url, "WEFT_VAULT_ROLE_ID": "weft", "WEFT_VAULT_SECRET_ID": "s3cret"}
    said, [fine] = checks(tmp_path, **environ)
    assert (fine["found"], fine["ok"]) == (f"{vault.url} answers approle (policies: weft)", True)
    assert "s3cret" not in said
    vault.sealed = True
    [sealed] = checks(tmp_path, **environ)[1]
    vault.close()
    assert "Vault is sealed" in sealed["found"]
    [away] = checks(tmp_path, **environ)[1]
    assert "does not answer" in away["found"]
