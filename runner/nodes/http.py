"""`http`: a request, and the answer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import httpcore

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.connections import Connections
from runner.nodes.http_request import HttpInputs, HttpRequest
from runner.nodes.http_response import Body, headers_of, read_body, retry_after, value_of
from runner.nodes.watched import CancelledError, DeadlinePassedError, TlsError, Watch
from schemas.pattern import JSON

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
_TOLD = 200  # characters of an unexpected answer that its error shows
_DRAINED = 64 * 1024  # bytes read of an answer that nobody gets, so that its connection can be kept


@dataclass(frozen=True, kw_only=True)
class _Answer:
    request: HttpRequest
    status: int
    headers: dict[str, str]
    body: Body

    def redirect(self) -> HttpRequest | None:
        location = self.headers.get("location")
        if self.status not in _REDIRECTS or location is None:
            return None
        return self.request.redirected(self.status, location)


class HttpNode:
    """Takes `{url, method, query, headers, json | form | body, followRedirects, expect, maxResponse}`,
    gives `{status, headers, body}`.

    Errors: `http_status`, `timeout`, `connection`, `tls`, `too_large`, `too_many_redirects`, `blocked_address`,
    `bad_request`, `cancelled`. For any number of threads; make it after forking.
    """

    def __init__(self) -> None:
        self._connections = Connections()

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        read = HttpInputs.read(inputs, context.idempotency_key)
        watch = Watch.start("no complete answer", context.remaining(), context.cancelled)
        try:
            with self._connections.under(context.network) as pool, watch.over():
                return _result(_follow(pool, read), read)
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{read.request}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{read.request}: given up with its run", retryable=False) from None

    def close(self) -> None:
        self._connections.close()


def _follow(pool: httpcore.ConnectionPool, read: HttpInputs) -> _Answer:
    request = read.request
    for _ in range(MAX_REDIRECTS + 1):
        answer = _exchange(pool, request, read)
        following = answer.redirect() if read.follow_redirects else None
        if following is None:
            return answer
        request = following
    raise NodeError(
        "too_many_redirects", f"{read.request}: more than {MAX_REDIRECTS} redirects", retryable=False
    )


def _exchange(pool: httpcore.ConnectionPool, request: HttpRequest, read: HttpInputs) -> _Answer:
    """Send one request and read its answer; what may go wrong on the way is told in the node's words."""
    try:
        response = pool.handle_request(request.for_pool())
        try:
            headers = headers_of(response)
            wanted = any(response.status in statuses for statuses in read.expect)
            limit = read.max_response if wanted else _DRAINED
            body = read_body(response, headers, limit)
        finally:
            response.close()
    except TlsError as error:
        hint = "check its certificate; SSL_CERT_FILE names other authorities to trust" if error.trust else ""
        raise NodeError("tls", f"{request}: {error.reason}", hint=hint, retryable=not error.trust) from error
    except httpcore.LocalProtocolError:
        # Its text may quote a header's value.
        raise NodeError("bad_request", f"{request}: it is not valid HTTP", retryable=False) from None
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise NodeError("connection", f"{request}: {str(error)[:_TOLD] or 'connection lost'}") from error
    except zlib.error as error:
        raise NodeError("connection", f"{request}: the answer cannot be decompressed") from error
    return _Answer(request=request, status=response.status, headers=headers, body=body)


def _result(answer: _Answer, read: HttpInputs) -> JSON:
    content_type = answer.headers.get("content-type", "")
    if not any(answer.status in statuses for statuses in read.expect):
        raise _unexpected(answer)
    if not answer.body.whole:
        limit = f"{answer.request}: the answer is larger than {read.max_response:,} bytes"
        raise NodeError("too_large", limit, hint="raise `maxResponse` (at most 16MiB)", retryable=False)
    return {
        "status": answer.status,
        "headers": answer.headers,
        "body": value_of(answer.body.content, content_type),
    }


def _unexpected(answer: _Answer) -> NodeError:
    start = answer.body.content[: _TOLD * 4].decode("utf-8", "replace")[:_TOLD].strip()
    return NodeError(
        "http_status",
        f"{answer.request}: status {answer.status}" + (f": {start}" if start else ""),
        hint="`expect` names the statuses that are no errors",
        retryable=answer.status in _RETRYABLE,
        retry_after=retry_after(answer.headers),
    )
