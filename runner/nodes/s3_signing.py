"""Signature Version 4, as S3 has it: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"


@dataclass(frozen=True, kw_only=True)
class Signer:
    """As whom, and where, requests are signed. `now` is seconds since the epoch in all that follows."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str

    def headers(self, request: ToSign, content: bytes, now: float) -> dict[str, str]:
        """All headers of a signed request: those of `request`, and those that the signature adds."""
        digest = hashlib.sha256(content).hexdigest()
        given = {**request.headers, "x-amz-content-sha256": digest, "x-amz-date": _instant(now)}
        names = ";".join(sorted(given))
        signature = self._signature(request, given, digest, now)
        credential = f"Credential={self.access_key}/{self._scope(now)}"
        return {
            **given,
            "authorization": f"{_ALGORITHM} {credential},SignedHeaders={names},Signature={signature}",
        }

    def presigned(self, request: ToSign, seconds: int, now: float) -> str:
        """The query of an address that works for `seconds`: whoever has it may do what `request` does."""
        query = {
            **request.query,
            "X-Amz-Algorithm": _ALGORITHM,
            "X-Amz-Credential": f"{self.access_key}/{self._scope(now)}",
            "X-Amz-Date": _instant(now),
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": ";".join(sorted(request.headers)),
        }
        signed = ToSign(method=request.method, path=request.path, query=query, headers=request.headers)
        signature = self._signature(signed, request.headers, _UNSIGNED, now)
        return f"{query_text(query)}&X-Amz-Signature={signature}"

    def _signature(self, request: ToSign, headers: Mapping[str, str], digest: str, now: float) -> str:
        canonical = "\n".join(
            [
                request.method,
                request.path,
                query_text(request.query),
                *(f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)),
                "",
                ";".join(sorted(headers)),
                digest,
            ]
        )
        said = "\n".join(
            [
                _ALGORITHM,
                _instant(now),
                self._scope(now),
                hashlib.sha256(canonical.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{self.secret_key}".encode()
        for part in self._scope(now).split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        return hmac.digest(key, said.encode(), "sha256").hex()

    def _scope(self, now: float) -> str:
        return f"{_instant(now)[:8]}/{self.region}/s3/aws4_request"


@dataclass(frozen=True, kw_only=True)
class ToSign:
    """`path` is percent-encoded as it is sent, `headers` are by lower-case name and have `host`."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]


def path_text(path: str) -> str:
    """Percent-encoded once, as the signature wants it, slashes as they are."""
    return quote(path, safe="/~")


def query_text(query: Mapping[str, str]) -> str:
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in pairs)


def _instant(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
