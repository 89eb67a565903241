"""One request after the other, each within the same rules, until there is an answer."""

from __future__ import annotations

import ssl
import zlib
from dataclasses import dataclass

import httpcore
import httpx

from runner.masking import masked
from runner.nodes.base import NodeError
from runner.nodes.http_pool import Access, HttpPools
from runner.nodes.http_request import HttpRequest
from runner.nodes.http_response import Body, headers_of, read_body, retry_after
from runner.nodes.http_tls import TlsOptions
from runner.nodes.watched import TlsError

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE = frozenset({408, 425, 429})
_NEVER_BETTER = frozenset({501, 505})
_TOLD = 200  # characters of an unexpected answer that its error shows
_DRAINED = 64 * 1024  # bytes read of an answer that nobody gets, so that its connection can be kept


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which answers are no errors, and how large (bytes) they may be."""

    expect: tuple[range, ...] = (range(200, 300),)
    max_response: int
    follow_redirects: bool = False

    def has(self, status: int) -> bool:
        return any(status in statuses for statuses in self.expect)


@dataclass(frozen=True, kw_only=True)
class HttpAnswer:
    request: HttpRequest
    status: int
    headers: dict[str, str]
    body: Body
    tls: str | None = None  # its version

    @property
    def retryable(self) -> bool:
        """Whether the same request may have another answer later."""
        return self.status in _RETRYABLE or (self.status >= 500 and self.status not in _NEVER_BETTER)

    def redirect(self) -> HttpRequest | None:
        location = self.headers.get("location")
        if self.status not in _REDIRECTS or location is None:
            return None
        return self.request.redirected(self.status, location)

    def checked(self, wanted: Wanted) -> HttpAnswer:
        """Raises NodeError where it is not what is wanted."""
        if not wanted.has(self.status):
            raise self._unexpected()
        if not self.body.whole:
            raise NodeError(
                "too_large",
                f"{self.request}: the answer is larger than {wanted.max_response:,} bytes",
                hint="raise `maxResponse` (at most 16MiB)",
                retryable=False,
            )
        return self

    def _unexpected(self) -> NodeError:
        start = self.body.content[: _TOLD * 4].decode("utf-8", "replace")[:_TOLD].strip()
        start = masked(start, self.request.secrets)  # some servers quote what they refuse
        return NodeError(
            "http_status",
            f"{self.request}: status {self.status}" + (f": {start}" if start else ""),
            hint="`expect` names the statuses that are no errors",
            retryable=self.retryable,
            retry_after=retry_after(self.headers),
        )


@dataclass(frozen=True, kw_only=True)
class HttpClient:
    """What one node may reach and how. `named` are the hosts that its author names, `host` the first of them."""

    pools: HttpPools
    allow: tuple[str, ...]
    tls: TlsOptions
    host: str
    named: frozenset[str]

    def send(self, request: HttpRequest, wanted: Wanted) -> HttpAnswer:
        """The answer behind the redirects, whatever it is."""
        first = request
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._exchange(request, wanted)
            following = answer.redirect() if wanted.follow_redirects else None
            if following is None:
                return answer
            request = following
        raise NodeError(
            "too_many_redirects", f"{first}: more than {MAX_REDIRECTS} redirects", retryable=False
        )

    def _tls_for(self, url: httpx.URL) -> TlsOptions | None:
        if url.scheme == "http":
            return None
        if url.host == self.host:
            return self.tls
        return self.tls.unnamed() if url.host in self.named else self.tls.elsewhere()

    def _exchange(self, request: HttpRequest, wanted: Wanted) -> HttpAnswer:
        """Send one request and read its answer; what may go wrong on the way is told in the node's words."""
        tls = self._tls_for(request.url)
        try:
            with self.pools.under(Access(allow=self.allow, tls=tls)) as pool:
                return _exchange(pool, request, tls, wanted)
        except TlsError as error:
            hint = "check its certificate; `tls: {ca: …}` or SSL_CERT_FILE name other authorities to trust"
            raise NodeError(
                "tls",
                f"{request}: {error.reason}",
                hint=hint if error.trust else "",
                retryable=not error.trust,
            ) from error
        except httpcore.LocalProtocolError:
            # Its text may quote a header's value.
            raise NodeError("bad_request", f"{request}: it is not valid HTTP", retryable=False) from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise NodeError("connection", f"{request}: {str(error)[:_TOLD] or 'connection lost'}") from error
        except zlib.error as error:
            raise NodeError("connection", f"{request}: the answer cannot be decompressed") from error


def _exchange(
    pool: httpcore.ConnectionPool, request: HttpRequest, tls: TlsOptions | None, wanted: Wanted
) -> HttpAnswer:
    response = pool.handle_request(request.for_pool(tls.server_name if tls else None))
    try:
        headers = headers_of(response)
        limit = wanted.max_response if wanted.has(response.status) else _DRAINED
        body = read_body(response, headers, limit)
        connection = response.extensions["network_stream"].get_extra_info("socket") if tls else None
        version = connection.version() if isinstance(connection, ssl.SSLSocket) else None
    finally:
        response.close()
    return HttpAnswer(request=request, status=response.status, headers=headers, body=body, tls=version)
