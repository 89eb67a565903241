"""The settings of HashiCorp Vault, which say something only together."""

from __future__ import annotations

from cli import values
from cli.given import Given, Setting, SettingsError
from store.settings import VaultSettings

VAULT_URL = Setting(
    name="WEFT_VAULT_URL",
    parse=values.web_url,
    right="an address such as https://vault.example:8200",
    default="none",
)
VAULT_MOUNT = Setting(
    name="WEFT_VAULT_MOUNT",
    parse=values.vault_path,
    right="where a KV engine (version 2) is mounted, such as secret",
    default="secret",
)
VAULT_PREFIX = Setting(
    name="WEFT_VAULT_PREFIX",
    parse=values.vault_path,
    right="a path such as weft or teams/weft",
    default="weft",
)
VAULT_TOKEN = Setting(
    name="WEFT_VAULT_TOKEN",
    parse=values.secret,
    right="a token without a space",
    default="none",
    secret=True,
)
VAULT_ROLE_ID = Setting(
    name="WEFT_VAULT_ROLE_ID",
    parse=values.secret,
    right="the role_id of an AppRole",
    default="none",
)
VAULT_SECRET_ID = Setting(
    name="WEFT_VAULT_SECRET_ID",
    parse=values.secret,
    right="the secret_id of the AppRole of WEFT_VAULT_ROLE_ID",
    default="none",
    secret=True,
)
VAULT_KUBERNETES_ROLE = Setting(
    name="WEFT_VAULT_KUBERNETES_ROLE",
    parse=values.secret,
    right="a role of Vault's Kubernetes authentication, such as weft",
    default="none",
)
VAULT: tuple[Setting[str], ...] = (
    *(VAULT_URL, VAULT_MOUNT, VAULT_PREFIX),
    *(VAULT_TOKEN, VAULT_ROLE_ID, VAULT_SECRET_ID, VAULT_KUBERNETES_ROLE),
)


def read_vault(given: Given) -> VaultSettings | None:
    """Where Vault is and as whom Weft comes there. Raises SettingsError where that is not said in one way."""
    url, secret_id = given.read(VAULT_URL), given.read(VAULT_SECRET_ID)
    ways = {one.name: given.read(one) for one in (VAULT_TOKEN, VAULT_ROLE_ID, VAULT_KUBERNETES_ROLE)}
    used = [name for name, value in ways.items() if value is not None]
    if url is None:
        return None
    if len(used) != 1:
        took = f"not {len(used)}" if used else "and none is set"
        raise SettingsError(f"{VAULT_URL.name}={url} takes one of {', '.join(ways)}, {took}")
    if (used == [VAULT_ROLE_ID.name]) is (secret_id is None):
        raise SettingsError(f"{VAULT_ROLE_ID.name} and {VAULT_SECRET_ID.name} are set together or not at all")
    return VaultSettings(
        url=url,
        mount=given.read(VAULT_MOUNT) or VAULT_MOUNT.default,
        prefix=given.read(VAULT_PREFIX) or VAULT_PREFIX.default,
        token=ways[VAULT_TOKEN.name],
        role_id=ways[VAULT_ROLE_ID.name],
        secret_id=secret_id,
        kubernetes_role=ways[VAULT_KUBERNETES_ROLE.name],
    )
