"""Issuers of tokens that answer from memory, for tests that are not about how they are asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from web.verification.fetching import Fetcher
from web.verification.sources import FetchError


class Answers(Fetcher):
    """`documents` by address; `asked` are the addresses in their order."""

    def __init__(self, documents: Mapping[str, Any]) -> None:
        super().__init__()
        self.documents = dict(documents)
        self.asked: list[str] = []

    def fetch(self, url: str, allow: tuple[str, ...]) -> Any:
        self.asked.append(url)
        if url not in self.documents:
            raise FetchError(f"{url}: status 404")
        return self.documents[url]


def answering(issuer: str, jwks: Mapping[str, Any]) -> Answers:
    discovery = {"issuer": issuer, "jwks_uri": f"{issuer}/keys"}
    return Answers({f"{issuer}/.well-known/openid-configuration": discovery, f"{issuer}/keys": jwks})
