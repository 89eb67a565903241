"""What an `http` node takes, as a request."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

import httpcore
import httpx
import orjson

from runner.nodes.base import NodeError
from schemas.pattern import JSON
from schemas.quantities import size_in_bytes

MAX_RESPONSE = 16 * 1024 * 1024  # bytes
_DEFAULT_RESPONSE = 1024 * 1024
_BODIES = ("json", "form", "body")
_KEYLESS = frozenset({"GET", "HEAD", "OPTIONS"})
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NO_VALUE = re.compile(r"[\r\n\0]")
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})
_DEFAULTS = {"accept": b"*/*", "accept-encoding": b"gzip, deflate", "user-agent": b"weft"}

Headers = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """One request; `headers` by lower-case name, without those that follow from url and body."""

    method: str
    url: httpx.URL
    headers: Headers
    content: bytes | None

    def __str__(self) -> str:
        """For messages: neither credentials nor query."""
        path = self.url.raw_path.partition(b"?")[0]
        return f"{self.method} {self.url.scheme}://{(self.url.netloc + path).decode('ascii')}"[:300]

    def for_pool(self) -> httpcore.Request:
        headers = {"host": self.url.netloc, **self.headers}
        if self.content is not None or self.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(self.content or b"")).encode()
        return httpcore.Request(
            self.method.encode(),
            httpcore.URL(
                scheme=self.url.raw_scheme,
                host=self.url.raw_host,
                port=self.url.port,
                target=self.url.raw_path,
            ),
            headers=[(name.encode(), value) for name, value in headers.items()],
            content=self.content,
        )

    def redirected(self, status: int, location: str) -> HttpRequest:
        """The request that follows (https://fetch.spec.whatwg.org/#http-redirect-fetch). Raises NodeError."""
        try:
            url = _split_credentials(_checked_url(self.url.join(location)))[0]
        except (httpx.InvalidURL, ValueError) as error:
            raise NodeError(
                "bad_request", f"{self}: redirected to no http address", retryable=False
            ) from error
        headers = dict(self.headers)
        if _origin(url) != _origin(self.url):
            headers = {name: value for name, value in headers.items() if name not in _CREDENTIALS | {"host"}}
        to_get = (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST")
        if not to_get:
            return replace(self, url=url, headers=headers)
        headers = {name: value for name, value in headers.items() if not name.startswith("content-")}
        return HttpRequest(method="GET", url=url, headers=headers, content=None)


@dataclass(frozen=True, kw_only=True)
class HttpInputs:
    request: HttpRequest
    follow_redirects: bool
    expect: tuple[range, ...]
    max_response: int  # bytes

    @classmethod
    def read(cls, inputs: JSON, idempotency_key: str) -> HttpInputs:
        """From a node's evaluated `with`. Raises NodeError `bad_request`, which quotes no secret."""
        try:
            return cls(
                request=_request(inputs, idempotency_key),
                follow_redirects=inputs.get("followRedirects", True) is True,
                expect=tuple(map(_statuses, inputs.get("expect", ["200-299"]))),
                max_response=_size(inputs.get("maxResponse", _DEFAULT_RESPONSE)),
            )
        except (ValueError, httpx.InvalidURL) as error:
            # An error of httpx may quote the url, which may hold a secret.
            reason = str(error) if isinstance(error, ValueError) else "`url` is not a valid address"
            raise NodeError("bad_request", reason, retryable=False) from None


def _request(inputs: JSON, idempotency_key: str) -> HttpRequest:
    method = str(inputs.get("method", "GET")).upper()
    if not _TOKEN.fullmatch(method) or method in ("CONNECT", "TRACE"):
        raise ValueError(f"`method` cannot be {method[:20]!r}")
    url, credentials = _split_credentials(_url(inputs))
    content, content_type = _content(inputs)
    headers = dict(_DEFAULTS)
    if content_type:
        headers["content-type"] = content_type
    if credentials:
        headers["authorization"] = credentials
    if method not in _KEYLESS:
        headers["idempotency-key"] = idempotency_key.encode()
    headers |= dict(_headers(inputs.get("headers") or {}))
    return HttpRequest(method=method, url=url, headers=headers, content=content)


def _url(inputs: JSON) -> httpx.URL:
    text = inputs.get("url")
    if not isinstance(text, str):
        raise ValueError("`url` must be text")  # noqa: TRY004 - it is what the user wrote that is wrong
    url = _checked_url(httpx.URL(text))
    pairs = list(_pairs("query", inputs.get("query") or {}))
    if not pairs:
        return url
    query = b"&".join(filter(None, (url.query, urlencode(pairs).encode())))
    return url.copy_with(query=query)


def _checked_url(url: httpx.URL) -> httpx.URL:
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("`url` must be an address that begins with http:// or https:// and a host")
    if "%" in url.host or not 0 < (url.port or 80) < 65536:
        raise ValueError("`url` has no valid host and port")
    return url


def _split_credentials(url: httpx.URL) -> tuple[httpx.URL, bytes | None]:
    """The url without its user and password, and these as a header's value."""
    if not url.userinfo:
        return url, None
    pair = f"{url.username}:{url.password}".encode()
    return url.copy_with(userinfo=b""), b"Basic " + base64.b64encode(pair)


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _headers(given: JSON) -> Iterator[tuple[str, bytes]]:
    if not isinstance(given, dict):
        raise ValueError("`headers` must be a mapping")  # noqa: TRY004
    for name, value in given.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name[:100]!r} cannot be the name of a header")
        if name.lower() in _FRAMING:
            raise ValueError(f"the header {name} follows from the body; leave it out")
        text = _text(f"the header {name}", value).strip()
        if _NO_VALUE.search(text):
            raise ValueError(f"the header {name} has a line break or a NUL in its value")
        yield name.lower(), text.encode()


def _content(inputs: JSON) -> tuple[bytes | None, bytes | None]:
    """The body and its type."""
    given = [key for key in _BODIES if key in inputs]
    if len(given) > 1:
        raise ValueError(f"`{given[0]}` and `{given[1]}` cannot be sent together; take one")
    if not given:
        return None, None
    value = inputs[given[0]]
    if given == ["json"]:
        return orjson.dumps(value), b"application/json"
    if given == ["form"]:
        return urlencode(list(_pairs("form", value))).encode(), b"application/x-www-form-urlencoded"
    return _text("`body`", value).encode(), b"text/plain; charset=utf-8"


def _pairs(what: str, given: JSON) -> Iterator[tuple[str, str]]:
    """Null leaves a key out; a list repeats it."""
    if not isinstance(given, dict):
        raise ValueError(f"`{what}` must be a mapping")  # noqa: TRY004
    for key, value in given.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                yield key, _text(f"{key[:100]!r} in `{what}`", item)


def _text(what: str, value: JSON) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError(f"{what} must be text or a number, not {type(value).__name__}")


def _statuses(entry: JSON) -> range:
    """`404` and `"200-299"` as ranges."""
    first, _, last = str(entry).partition("-")
    if not first.isdecimal() or not (last or first).isdecimal():
        raise ValueError(f"{entry!r} in `expect` is neither a status like 404 nor a range like 200-299")
    return range(int(first), int(last or first) + 1)


def _size(value: JSON) -> int:
    size = value if isinstance(value, int) else size_in_bytes(str(value))
    if not 0 < size <= MAX_RESPONSE:
        raise ValueError("`maxResponse` must be between 1B and 16MiB")
    return size
