"""`http`: a request, and the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.found import Found
from runner.nodes.http_client import HttpAnswer
from runner.nodes.http_inputs import MAX_RESPONSE, HttpInputs
from runner.nodes.http_pool import HttpPools
from runner.nodes.http_response import value_of
from runner.nodes.http_session import HttpSession, Pages
from runner.nodes.http_tokens import AccessTokens
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch
from schemas.pattern import JSON

_NO_HEAD = frozenset((404, 405, 501))
_NOT_SIGNED_IN = frozenset((401, 403))

T = TypeVar("T")


class HttpNode:
    """Takes `{url | connection, method, query, headers, json | form | multipart | body, auth, tls, followRedirects,
    expect, maxResponse, paging}`, gives `{status, headers, body}`, or `{status, headers, items, pages, more}`.

    Errors: `http_status`, `timeout`, `connection`, `tls`, `too_large`, `too_many_redirects`, `blocked_address`,
    `bad_request`, `bad_page`, `no_token`, `cancelled`. For any number of threads; make it after forking.
    """

    def __init__(self) -> None:
        self._pools = HttpPools()
        self._tokens = AccessTokens()

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        read = HttpInputs.read(inputs, context)
        session = HttpSession.start(read, self._pools, self._tokens, context.network)
        paging = read.paging
        if paging is None:
            return _single(self._watched(context, read, session.answer))
        pages = self._watched(context, read, lambda: session.pages(paging))
        if pages.more:
            context.log("warning", f"there may be more than {pages.count} pages: `maxPages` ends here")
        return _joined(pages)

    def probe(self, context: NodeContext, name: str) -> Found:
        """HEAD, or GET where the service does not know that. Every answer below 500 shows that it is there."""
        for method in ("HEAD", "GET"):
            inputs = {"connection": name, "method": method, "followRedirects": False, "expect": ["100-599"]}
            answer = self._probed(context, {**inputs, "maxResponse": MAX_RESPONSE})
            if answer.status not in _NO_HEAD:
                break
        if answer.status >= 500:
            message = f"{answer.request}: status {answer.status}"
            hint = "The service is there, and fails: see what it says itself."
            raise NodeError("http_status", message, hint=hint, retryable=answer.retryable)
        if answer.status in _NOT_SIGNED_IN:
            context.log("warning", f"{name}: it answers {answer.status}: it wants other credentials")
        url = answer.request.url
        address = f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}"
        server = answer.headers.get("server")
        return Found(address=address, server=server, tls=answer.tls, status=answer.status)

    def _probed(self, context: NodeContext, inputs: JSON) -> HttpAnswer:
        read = HttpInputs.read(inputs, context)
        session = HttpSession.start(read, self._pools, self._tokens, context.network)
        return self._watched(context, read, session.answer)

    def _watched(self, context: NodeContext, read: HttpInputs, work: Callable[[], T]) -> T:
        watch = Watch.start("no complete answer", context.remaining(), context.cancelled)
        try:
            with watch.over():
                return work()
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{read.request}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{read.request}: given up with its run", retryable=False) from None

    def close(self) -> None:
        self._pools.close()


def _single(answer: HttpAnswer) -> JSON:
    return {
        "status": answer.status,
        "headers": answer.headers,
        "body": value_of(answer.body.content, answer.headers.get("content-type", "")),
    }


def _joined(pages: Pages) -> JSON:
    return {
        "status": pages.last.status,
        "headers": pages.last.headers,
        "items": pages.items,
        "pages": pages.count,
        "more": pages.more,
    }
