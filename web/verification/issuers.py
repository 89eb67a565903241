"""An issuer asked for its keys, directly or by way of its discovery document."""

from __future__ import annotations

from typing import Final

from schemas.pattern import JSON
from web.verification.fetching import Fetcher
from web.verification.key_sets import KeySet
from web.verification.sources import FetchError, KeySource

_DISCOVERY: Final = "/.well-known/openid-configuration"


class Issuers:
    """For several threads."""

    def __init__(self, fetcher: Fetcher | None = None) -> None:
        self._fetcher = fetcher or Fetcher()

    def close(self) -> None:
        """What is under way ends within moments."""
        self._fetcher.close()

    def keys(self, source: KeySource, allow: tuple[str, ...]) -> KeySet:
        """Waits for the issuer. Raises FetchError."""
        url = source.jwks_url or self._discovered(source.issuer, allow)
        try:
            return KeySet(self._fetcher.fetch(url, allow))
        except ValueError as error:
            raise FetchError(f"{url[:300]}: no JWKS: {error}") from error

    def _discovered(self, issuer: str, allow: tuple[str, ...]) -> str:
        """Where the issuer says that its keys are (OpenID Connect Discovery 1.0, section 4)."""
        document: JSON = self._fetcher.fetch(issuer.rstrip("/") + _DISCOVERY, allow)
        if not isinstance(document, dict) or document.get("issuer") != issuer:
            raise FetchError(f"{issuer[:300]}: its discovery document is that of another issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str):
            raise FetchError(f"{issuer[:300]}: its discovery document has no jwks_uri")
        return url
