"""Whether a call is from whom its webhook's `verify` names, with the secrets as they are now."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.verification import Mode, Provider, Verify
from store.database import Database, StoreUnavailable
from store.deployments import Route
from store.repositories import network_allowed
from store.secrets import SecretBook, SecretMissing, SecretsUnavailable
from web.hooks.call import Call
from web.hooks.refusal import Reason, Refusal
from web.verification.call import Reason as Why
from web.verification.call import SignedCall, Unverified
from web.verification.jwks import Keys
from web.verification.slack import url_verification
from web.verification.verifier import Verifier

_MOST: Final = 4096
_LATER: Final = {"retry-after": "5"}


class _Ready(NamedTuple):
    values: tuple[str | None, ...]
    verifier: Verifier


class Signers:
    """Belongs to one event loop. `public_url`: under which senders call, if nobody told them otherwise."""

    def __init__(self, database: Database, secrets: SecretBook, public_url: str) -> None:
        self._database = database
        self._secrets = secrets
        self._public_url = public_url
        self._ready: dict[tuple[str, str, str], _Ready] = {}
        self._keys: Keys | None = None
        self._allow: dict[str, tuple[str, ...]] = {}

    def forget(self) -> None:
        """The settings of projects may have changed."""
        self._allow.clear()

    def close(self) -> None:
        if self._keys is not None:
            self._keys.close()

    async def check(self, call: Call, rule: Verify, route: Route) -> str | None:
        """Gives the challenge that the call is, if it is one. Raises Refusal for one that is not verified;
        where the rule only observes, the call says why instead.
        """
        assert call.raw is not None, "it was read"
        verifier = self._known(rule, route) or await self._verifier(rule, route)
        if not verifier.covers(call.method):
            return None  # nobody looked: neither verified nor not, and no challenge of Slack's
        urls = self._urls(call) if verifier.signs_url else ()
        signed = SignedCall(call.method, urls, call.scope["headers"], call.raw)
        try:
            if verifier.asks_issuer:
                await self._ask_issuer(verifier, signed, route.organisation)
            else:
                verifier.check(signed, time.time())
        except Unverified as error:
            call.verified = False
            if rule.mode is Mode.OBSERVE:
                call.unverified = {"reason": error.reason, "detail": error.detail}
                return None
            if error.reason is Why.NO_KEYS:
                raise Refusal(Reason.ISSUER, error.detail, headers=_LATER) from None
            raise Refusal(Reason.UNSIGNED, f"{error.detail} ({error.reason})") from None
        call.verified = True
        return url_verification(call.raw) if rule.provider is Provider.SLACK else None

    def _known(self, rule: Verify, route: Route) -> Verifier | None:
        """The one of the last call, where its secrets are known to be what they were."""
        ready = self._ready.get((route.organisation, route.environment, route.version_id))
        if ready is None:
            return None
        for name, value in zip(rule.secrets, ready.values, strict=True):
            if (
                value is None
                or self._secrets.remembered(route.organisation, route.environment, name) != value
            ):
                return None
        return ready.verifier

    async def _verifier(self, rule: Verify, route: Route) -> Verifier:
        place = (route.organisation, route.environment, route.version_id)
        values = tuple(
            [await self._value(route.organisation, route.environment, name) for name in rule.secrets]
        )
        ready = self._ready.get(place)
        if ready is None or ready.values != values:
            if len(self._ready) >= _MOST:
                self._ready.clear()
            verifier = Verifier(rule, [value for value in values if value])
            ready = self._ready[place] = _Ready(values, verifier)
        return ready.verifier

    async def _value(self, organisation: str, environment: str, name: str) -> str | None:
        """None: it is not set."""
        known = self._secrets.remembered(organisation, environment, name)
        if known is not None:
            return known
        try:
            return await asyncio.to_thread(self._secrets.get, organisation, environment, name)
        except SecretMissing:
            return None
        except SecretsUnavailable:
            detail = f"The secret {name} of this webhook cannot be read just now. Nothing was started."
            raise Refusal(Reason.SECRET, detail, headers=_LATER) from None

    async def _ask_issuer(self, verifier: Verifier, signed: SignedCall, organisation: str) -> None:
        if self._keys is None:
            self._keys = Keys()
        allow = self._allow.get(organisation)
        if allow is None:
            allow = self._allow[organisation] = await asyncio.to_thread(self._allowed, organisation)
        await verifier.check_by_issuer(signed, time.time(), self._keys, allow)

    def _allowed(self, organisation: str) -> tuple[str, ...]:
        try:
            with self._database.connection() as connection:
                return network_allowed(connection, organisation)
        except StoreUnavailable:
            raise Refusal(Reason.BUSY, "The database does not answer. Nothing was started.") from None

    def _urls(self, call: Call) -> Sequence[str]:
        """Those under which the sender may have called: a proxy in front may have changed what the request says."""
        scope = call.scope
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0]
        query = scope["query_string"].decode("latin-1")
        rest = f"{path}?{query}" if query else path
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        seen = [f"{scheme}://{host}{rest}" for host in hosts[:1] for scheme in ("https", "http")]
        return [self._public_url + rest, *seen]
