"""Requests to a bucket: signed, and sent where nodes may go."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

import httpx

from runner.nodes.base import Assets, NodeContext, NodeError
from runner.nodes.formats.xml_text import read_xml
from runner.nodes.http_client import HttpAnswer, HttpClient, Wanted
from runner.nodes.http_pool import HttpPools
from runner.nodes.http_request import HttpRequest
from runner.nodes.http_response import retry_after
from runner.nodes.http_tls import TlsOptions
from runner.nodes.s3_signing import Signer, ToSign, path_text, query_text
from schemas.buckets import Bucket
from schemas.pattern import JSON

LARGEST: Final = 16 * 1024 * 1024
"""Bytes of an object that is read or written."""

_REGION: Final = "us-east-1"
_ANYTHING: Final = (range(100, 600),)
_DENIED: Final = frozenset((401, 403))
_NOT_FOUND: Final = frozenset(("NoSuchKey", "NoSuchBucket", "NotFound"))


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a bucket is, and as whom it is asked. `base` is the path that leads to it: empty, or `/bucket`."""

    bucket: Bucket
    scheme: str
    host: str
    port: int | None
    base: str
    signer: Signer | None
    tls: TlsOptions = field(repr=False)

    @classmethod
    def read(cls, spec: Mapping[str, JSON], assets: Assets) -> Place:
        """From the `spec` of a connection that passed the checks. Raises NodeError."""
        bucket, region = Bucket.read(spec["url"]), spec.get("region", _REGION)
        endpoint = spec.get("endpoint")
        # A dot in its name makes a host that no certificate of Amazon's is for.
        apart = endpoint is None and "." not in bucket.name
        home = f"{bucket.name}.s3.{region}" if apart else f"s3.{region}"
        try:
            parts = urlsplit(endpoint or f"https://{home}.amazonaws.com")
            port, host = parts.port, parts.hostname
            tls = TlsOptions.read(spec.get("tls") or {}, assets)
        except ValueError as error:
            raise _wrong(spec["name"], str(error)) from None
        if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or "@" in parts.netloc:
            raise _wrong(spec["name"], "`endpoint` is not an address such as https://s3.example.com")
        return cls(
            bucket=bucket,
            scheme=parts.scheme,
            host=host,
            port=port,
            base="" if apart else f"/{bucket.name}",
            signer=_signer(spec, region),
            tls=tls,
        )

    @property
    def netloc(self) -> str:
        """As the header `Host` has it: without the port that goes without saying."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port in (None, usual) else f"{host}:{self.port}"

    def path(self, key: str) -> str:
        return path_text(f"{self.base}/{key}")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}{self.base}/{self.bucket.prefix}"


@dataclass(frozen=True, kw_only=True)
class S3Request:
    """`key` is the whole one, "" that of the bucket itself. `headers` are by lower-case name."""

    method: str
    key: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


class S3Client:
    def __init__(self, place: Place, pools: HttpPools, context: NodeContext) -> None:
        self._place = place
        self._http = HttpClient(
            pools=pools, allow=context.network, tls=place.tls, host=place.host, named=frozenset((place.host,))
        )

    def send(self, request: S3Request) -> HttpAnswer:
        """Raises NodeError for every answer but 2xx."""
        answer = self._http.send(self._signed(request), Wanted(expect=_ANYTHING, max_response=LARGEST))
        if not 200 <= answer.status < 300:
            raise _refused(answer, request, self._place)
        if not answer.body.whole:
            raise NodeError(
                "too_large", f"{request.key!r:.200} has more than {LARGEST:,} bytes", retryable=False
            )
        return answer

    def presigned(self, request: S3Request, seconds: int) -> str:
        place = self._place
        if place.signer is None:
            raise _wrong("", "an address is signed with `accessKey` and `secretKey`, and it has none")
        path = place.path(request.key)
        to_sign = ToSign(method=request.method, path=path, query={}, headers={"host": place.netloc})
        return (
            f"{place.scheme}://{place.netloc}{path}?{place.signer.presigned(to_sign, seconds, time.time())}"
        )

    def _signed(self, request: S3Request) -> HttpRequest:
        place, path = self._place, self._place.path(request.key)
        headers = {"host": place.netloc, **request.headers}
        if place.signer is not None:
            to_sign = ToSign(method=request.method, path=path, query=request.query, headers=headers)
            headers = place.signer.headers(to_sign, request.content or b"", time.time())
        url = f"{place.scheme}://{place.netloc}{path}"
        if request.query:
            url += f"?{query_text(request.query)}"
        return HttpRequest(
            method=request.method,
            url=httpx.URL(url),
            headers={
                "user-agent": b"weft",
                "accept-encoding": b"identity",
                **{name: value.encode() for name, value in headers.items()},
            },
            content=request.content,
        )


def _signer(spec: Mapping[str, JSON], region: str) -> Signer | None:
    """None: the bucket is asked without a name, as everybody may. Never as whom the worker's own machine is."""
    if "accessKey" not in spec:
        return None
    return Signer(access_key=spec["accessKey"], secret_key=spec["secretKey"], region=region)


def _refused(answer: HttpAnswer, request: S3Request, place: Place) -> NodeError:
    code, message = _said(answer.body.content)
    what = f"{request.method} {place}{request.key.removeprefix(place.bucket.prefix)}"[:400]
    text = f"{what}: status {answer.status}" + "".join(f", {one}" for one in (code, message) if one)
    if answer.status in _DENIED:
        return NodeError("s3_denied", text, retryable=False)
    if code in _NOT_FOUND or answer.status == 404:
        return NodeError("s3_not_found", text, retryable=False)
    hint = ""
    if answer.status in (301, 307, 400) and ("region" in message.lower() or answer.status != 400):
        hint = "The bucket is in another region: write it as `region` in the connection."
    return NodeError(
        "s3_error", text, hint=hint, retryable=answer.retryable, retry_after=retry_after(answer.headers)
    )


def _said(content: bytes) -> tuple[str, str]:
    """Code and message of an answer that says no, where it has them."""
    try:
        error = read_xml(content[:65536].decode())["Error"]
        return str(error.get("Code", "")), str(error.get("Message", ""))[:300]
    except (NodeError, UnicodeDecodeError, KeyError, AttributeError, TypeError):
        return "", ""


def _wrong(name: str, reason: str) -> NodeError:
    what = f"The connection {name} is not set up right" if name else "The connection is not set up right"
    return NodeError("wrong_connection_type", f"{what}: {reason}.", retryable=False)
