"""Secrets in HashiCorp Vault, or OpenBao: its KV engine, version 2. hvac is the door to it.

Those of the first organisation are at `{prefix}/{environment}/{NAME}`, those of others at
`{prefix}/organisations/{organisation}/{environment}/{NAME}`; the value is the field `value`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from schemas.secret_text import ENVIRONMENT, LARGEST, NAME
from store.secrets.errors import SecretsUnavailable, SecretUnreadable
from store.secrets.source import Place
from store.secrets.vault_login import VaultDoor
from store.settings import FIRST_ORGANISATION, VaultSettings

DOWN_SECONDS: Final = 2.0
"""For so long nobody waits for it again after it did not answer."""

FIELD: Final = "value"
_OTHERS: Final = "organisations"


class Vault:
    kind = "vault"

    def __init__(self, settings: VaultSettings, door: VaultDoor | None = None) -> None:
        self._settings = settings
        self._door = VaultDoor(settings) if door is None else door
        self._down: tuple[float, str] = (0.0, "")

    def find(self, organisation: str, environment: str, name: str) -> str | None:
        path = self._path(organisation, environment, name)
        if path is None:
            return None
        answer = self._ask(
            self._shown(path),
            lambda client: client.secrets.kv.v2.read_secret_version(
                path, mount_point=self._settings.mount, raise_on_deleted_version=True
            ),
        )
        return None if answer is None else _value(answer, self._shown(path))

    def looked(self, organisation: str, environment: str, name: str) -> str | None:
        path = self._path(organisation, environment, name)
        return None if path is None else f"Vault ({self._shown(path)})"

    def names(self, organisation: str, environment: str | None = None) -> Iterable[Place]:
        top = self._folder(organisation)
        if top is None:
            return []
        if environment is None:
            below = (entry.removesuffix("/") for entry in self._list(top) if entry.endswith("/"))
            environments = [entry for entry in below if ENVIRONMENT.fullmatch(entry)]
        else:
            environments = [environment] if ENVIRONMENT.fullmatch(environment) else []
        return [
            Place(one, name)
            for one in environments
            for name in self._list(f"{top}/{one}")
            if NAME.fullmatch(name)
        ]

    def check(self) -> str:
        """As whom Weft is known there, in words. Raises SecretsUnavailable."""
        answer = self._ask("auth/token/lookup-self", lambda client: client.auth.token.lookup_self()) or {}
        found = answer.get("data") or {}
        policies = ", ".join(found.get("policies") or ()) or "none"
        return f"{self._settings.url} answers {found.get('display_name') or 'token'} (policies: {policies})"

    def close(self) -> None:
        self._door.close()

    def _folder(self, organisation: str) -> str | None:
        if organisation == FIRST_ORGANISATION:
            return self._settings.prefix
        return (
            f"{self._settings.prefix}/{_OTHERS}/{organisation}"
            if ENVIRONMENT.fullmatch(organisation)
            else None
        )

    def _path(self, organisation: str, environment: str, name: str) -> str | None:
        folder = self._folder(organisation)
        right = ENVIRONMENT.fullmatch(environment) and NAME.fullmatch(name)
        return f"{folder}/{environment}/{name}" if folder is not None and right else None

    def _shown(self, path: str) -> str:
        return f"{self._settings.mount}/{path}"

    def _list(self, path: str) -> list[str]:
        answer = self._ask(
            self._shown(path),
            lambda client: client.secrets.kv.v2.list_secrets(path, mount_point=self._settings.mount),
        )
        return [] if answer is None else [str(key) for key in answer.get("data", {}).get("keys", ())]

    def _ask(self, shown: str, request: Callable[[Any], Any]) -> dict[str, Any] | None:
        """The answer; None where nothing is at that path."""
        until, said = self._down
        if until > time.monotonic():
            raise SecretsUnavailable(said)
        errors = self._door.errors
        with self._translated(shown):
            try:
                answer = self._door.ask(request)
            except errors.InvalidPath as error:
                if any("route" in str(one) or "mount" in str(one) for one in error.errors or ()):
                    raise SecretUnreadable(
                        f"Vault has no KV engine (version 2) at {self._settings.mount}/: see WEFT_VAULT_MOUNT."
                    ) from error
                return None
        if not isinstance(answer, dict):
            raise self._unavailable("does not answer as Vault does: see WEFT_VAULT_URL")
        return answer

    @contextmanager
    def _translated(self, shown: str) -> Iterator[None]:
        errors, silence = self._door.errors, self._door.silence
        try:
            yield
        except (errors.Forbidden, errors.Unauthorized) as error:
            raise SecretsUnavailable(
                f"Vault at {self._settings.url} denies reading {shown}: its token or role has expired,"
                " or no policy allows this path."
            ) from error
        except errors.InvalidRequest as error:
            raise SecretsUnavailable(
                f"Vault at {self._settings.url} refuses Weft's request ({error}): see WEFT_VAULT_ROLE_ID,"
                " WEFT_VAULT_SECRET_ID, WEFT_VAULT_KUBERNETES_ROLE."
            ) from error
        except errors.VaultError as error:
            raise self._unavailable(f"cannot answer ({error})") from error
        except silence as error:
            raise self._unavailable(f"does not answer ({type(error).__name__})") from error

    def _unavailable(self, why: str) -> SecretsUnavailable:
        said = f"Vault at {self._settings.url} {why}."
        self._down = (time.monotonic() + DOWN_SECONDS, said)
        return SecretsUnavailable(said)


def _value(answer: dict[str, Any], shown: str) -> str:
    fields = (answer.get("data") or {}).get("data")
    value = fields.get(FIELD) if isinstance(fields, dict) else None
    if not isinstance(value, str) or not value:
        raise SecretUnreadable(
            f'The secret at {shown} in Vault has no text in the field "{FIELD}": vault kv put {shown} {FIELD}=-'
        )
    if len(value.encode()) > LARGEST:
        raise SecretUnreadable(f"The secret at {shown} in Vault has more than {LARGEST:,} bytes.")
    return value
