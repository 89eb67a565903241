"""A request, and the one that follows when the answer names another address."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import httpcore
import httpx

from runner.nodes.base import NodeError

_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})

Headers = Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """One request; `headers` by lower-case name, without those that follow from url and body.

    `private` are the names of those that go to no other origin, beside the usual credentials.
    """

    method: str
    url: httpx.URL
    headers: Headers = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    private: frozenset[str] = frozenset()

    def __str__(self) -> str:
        """For messages: neither credentials nor query."""
        path = self.url.raw_path.partition(b"?")[0]
        return f"{self.method} {self.url.scheme}://{(self.url.netloc + path).decode('ascii')}"[:300]

    @property
    def secrets(self) -> frozenset[str]:
        """What it carries that nobody else may see, as an answer may have it."""
        values = [self.headers[name].decode("latin-1") for name in self.headers.keys() & self._private]
        return frozenset(part for value in values for part in (value, value.partition(" ")[2]))

    @property
    def _private(self) -> frozenset[str]:
        return _CREDENTIALS | self.private

    def for_pool(self, server_name: str | None = None) -> httpcore.Request:
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
            extensions={"sni_hostname": server_name} if server_name else None,
        )

    def with_authorization(self, value: bytes) -> HttpRequest:
        return replace(self, headers={**self.headers, "authorization": value})

    def redirected(self, status: int, location: str) -> HttpRequest:
        """The request that follows (https://fetch.spec.whatwg.org/#http-redirect-fetch). Raises NodeError."""
        following = self.at(location, "redirected")
        to_get = (status == 303 and self.method != "HEAD") or (status in (301, 302) and self.method == "POST")
        if to_get:
            headers = {
                name: value for name, value in following.headers.items() if not name.startswith("content-")
            }
            return replace(following, method="GET", headers=headers, content=None)
        if following.content and self.url.scheme == "https" and following.url.scheme == "http":
            raise NodeError(
                "bad_request",
                f"{self}: redirected from https to http, where the body would be readable on its way",
                hint="use the address that the redirect should lead to",
                retryable=False,
            )
        return following

    def at(self, location: str, how: str) -> HttpRequest:
        """The same request at an address that an answer names; no credentials go to another origin."""
        try:
            url = split_credentials(checked_url(self.url.join(location)))[0]
        except (httpx.InvalidURL, ValueError) as error:
            raise NodeError("bad_request", f"{self}: {how} to no http address", retryable=False) from error
        if origin(url) == origin(self.url):
            return replace(self, url=url)
        dropped = self._private | {"host"}
        headers = {name: value for name, value in self.headers.items() if name not in dropped}
        return replace(self, url=url, headers=headers)


def checked_url(url: httpx.URL) -> httpx.URL:
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("`url` must be an address that begins with http:// or https:// and a host")
    if "%" in url.host or not 0 < (80 if url.port is None else url.port) < 65536:
        raise ValueError("`url` has no valid host and port")
    return url


def split_credentials(url: httpx.URL) -> tuple[httpx.URL, bytes | None]:
    """The url without its user and password, and these as a header's value."""
    if not url.userinfo:
        return url, None
    return url.copy_with(userinfo=b""), basic(url.username, url.password)


def basic(username: str, password: str) -> bytes:
    """RFC 7617, as the value of a header."""
    return b"Basic " + base64.b64encode(f"{username}:{password}".encode())


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
