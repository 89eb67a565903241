"""Documents of issuers, fetched under the rules of `http` nodes: in a thread, within bounds of time and size."""

from __future__ import annotations

import ssl
import threading
import zlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import httpcore
import httpx
import orjson

from runner.nodes.base import NodeError
from runner.nodes.http_request import HttpRequest, checked_url
from runner.nodes.http_response import headers_of, read_body
from runner.nodes.http_tls import TlsOptions
from runner.nodes.network import Address, CheckedBackend, NetworkPolicy, Target, is_public, targets
from runner.nodes.watched import CancelledError, DeadlinePassedError, TlsError, Watch
from schemas.pattern import JSON
from web.verification.sources import FetchError

LIMIT: Final = 5.0
"""Seconds for one document, its name's look-up included."""

LARGEST: Final = 512 * 1024
"""Bytes of one document. That of a large issuer has ten thousand."""

_RESOLVERS: Final = 4  # names that are looked up at the same time
_HEADERS: Final = {"accept": b"application/json", "user-agent": b"weft"}


class Fetcher:
    """For several threads."""

    def __init__(self) -> None:
        # Looking up a name cannot be interrupted, so it happens beside the thread that waits for it.
        self._resolvers = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolve")
        self._mutex = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """What is under way ends within moments."""
        self._closed.set()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def fetch(self, url: str, allow: tuple[str, ...]) -> JSON:
        """The JSON at `url`: no redirects, http only to private addresses that `allow` has. Raises FetchError."""
        try:
            request = HttpRequest(method="GET", url=checked_url(httpx.URL(url)), headers=_HEADERS)
            content = self._content(request, allow)
            return orjson.loads(content)
        except (httpx.InvalidURL, UnicodeError, orjson.JSONDecodeError):
            raise FetchError(f"{url[:300]}: no address of a JSON document") from None
        except NodeError as error:
            raise FetchError(_refused(request, error)) from error
        except TlsError as error:
            raise FetchError(f"{request}: {error.reason}") from error
        except CancelledError:
            raise FetchError(f"{request}: the service stops") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, DeadlinePassedError) as error:
            raise FetchError(f"{request}: {str(error)[:200] or 'connection lost'}") from error
        except (OSError, ValueError, zlib.error) as error:
            raise FetchError(f"{url[:300]}: {str(error)[:200]}") from error

    def _content(self, request: HttpRequest, allow: tuple[str, ...]) -> bytes:
        secure = request.url.scheme == "https"
        policy = NetworkPolicy(allow) if secure else _PrivateOnly(allow)
        context = self._context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        watch = Watch.start("no answer", LIMIT, self._closed)
        backend = CheckedBackend(policy, self._resolve)
        with watch.over(), httpcore.ConnectionPool(ssl_context=context, network_backend=backend) as pool:
            response = pool.handle_request(request.for_pool())
            try:
                if response.status != 200:
                    raise FetchError(f"{request}: status {response.status}")
                body = read_body(response, headers_of(response), LARGEST)
            finally:
                response.close()
        if not body.whole:
            raise FetchError(f"{request}: the answer is larger than {LARGEST:,} bytes")
        return body.content

    def _context(self) -> ssl.SSLContext:
        """Made once, when it is needed: it reads a large file."""
        with self._mutex:
            self._tls = self._tls or TlsOptions().context()
            return self._tls

    def _resolve(self, host: str, port: int) -> Future[list[Target]]:
        return self._resolvers.submit(targets, host, port)


class _PrivateOnly(NetworkPolicy):
    """Keys that come in clear over the Internet could be anybody's."""

    def permits(self, host: str, port: int, address: Address) -> bool:
        return not is_public(address) and super().permits(host, port, address)


def _refused(request: HttpRequest, error: NodeError) -> str:
    if error.type != "blocked_address":
        return f"{request}: {error.message}"
    host, port = request.url.host, request.url.port or {"http": 80}.get(request.url.scheme, 443)
    if request.url.scheme == "http":
        return (
            f"{request}: http is for private addresses that network.allow in weft.yaml has: write https, or"
            f' allow "{host}:{port}"'
        )
    return f'{request}: a private address. To allow it, add "{host}:{port}" to network.allow in weft.yaml'
