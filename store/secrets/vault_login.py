"""Vault's door: who Weft is there. A token is kept alive; a role logs in, and again when that runs out."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from store.secrets.errors import SecretUnreadable
from store.settings import VaultSettings

log = logging.getLogger(__name__)

PATIENCE: Final = 3.0
"""Seconds that Vault has for an answer."""

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
AGAIN: Final = 10.0
"""Seconds from one login to the next at least, where Vault denies what is asked: mostly it is the path."""

RETRY: Final = 5.0
"""Seconds between two attempts to renew a token."""


class VaultDoor:
    """`errors` is hvac's module of them; `silence` what no answer is raised as."""

    def __init__(self, settings: VaultSettings, *, account: Path = SERVICE_ACCOUNT) -> None:
        # Read here: it takes a quarter of a second, which nobody pays who has no Vault.
        hvac = importlib.import_module("hvac")
        self.errors: Any = importlib.import_module("hvac.exceptions")
        self.silence: type[Exception] = importlib.import_module("requests").RequestException
        self._settings = settings
        self._account = account
        self._mutex = threading.Lock()
        # A token of the environment's own (VAULT_TOKEN, ~/.vault-token) is not Weft's.
        self._client: Any = hvac.Client(url=settings.url, token=settings.token or "", timeout=PATIENCE)
        self._until = float("inf") if settings.token else 0.0
        self._logins = 0
        self._since = 0.0
        self._stopping = threading.Event()
        if settings.token:
            threading.Thread(target=self._renew, name="vault-token", daemon=True).start()

    def ask(self, request: Callable[[Any], Any]) -> Any:
        """What `request` makes of the client. Raises what hvac raises."""
        login = self._entered()
        try:
            return request(self._client)
        except self.errors.Forbidden:
            if self._settings.token or (login == self._logins and time.monotonic() < self._since + AGAIN):
                raise
            # It may have been revoked, or Vault has forgotten it.
            self._enter_again(login)
            return request(self._client)

    def close(self) -> None:
        self._stopping.set()
        self._client.adapter.close()

    def _entered(self) -> int:
        """Which login it is that holds now."""
        if self._until <= time.monotonic():
            with self._mutex:
                if self._until <= time.monotonic():
                    self._enter()
        return self._logins

    def _enter_again(self, login: int) -> None:
        with self._mutex:
            if login == self._logins:
                self._enter()

    def _enter(self) -> None:
        given = self._settings
        if given.kubernetes_role is not None:
            jwt = self._service_account()
            answer = self._client.auth.kubernetes.login(role=given.kubernetes_role, jwt=jwt)
        else:
            answer = self._client.auth.approle.login(role_id=given.role_id, secret_id=given.secret_id)
        lasts = float(answer["auth"]["lease_duration"]) or float("inf")
        self._since = time.monotonic()
        self._until = self._since + lasts * 2 / 3
        self._logins += 1

    def _service_account(self) -> str:
        try:
            return self._account.read_text().strip()
        except OSError as error:
            raise SecretUnreadable(
                f"The token of the pod's service account ({self._account}) cannot be read: {error.strerror}."
                " WEFT_VAULT_KUBERNETES_ROLE is for pods."
            ) from error

    def _renew(self) -> None:
        """Keep the given token alive, as long as Vault lets it live."""
        lasts: float | None = None
        while lasts is None or not self._stopping.wait(lasts * 2 / 3):
            lasts = self._renewed(first=lasts is None)
            if lasts == 0.0:
                return

    def _renewed(self, *, first: bool) -> float:
        """For how many seconds more it is good; 0.0: for ever, or nothing can be done."""
        try:
            if first:
                found = self._client.auth.token.lookup_self()["data"]
                if found.get("ttl") and not found.get("renewable"):
                    log.warning("vault_token_expires", extra={"seconds": found["ttl"]})
                    return 0.0
                return float(found.get("ttl") or 0)
            return float(self._client.auth.token.renew_self()["auth"]["lease_duration"])
        except (self.errors.VaultError, self.silence, TypeError, KeyError) as error:
            log.warning("vault_token_not_renewed", extra={"error": type(error).__name__})
            return RETRY * 3 / 2
