"""`http`: a request, and the answer."""

from __future__ import annotations

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.http_client import HttpAnswer
from runner.nodes.http_inputs import HttpInputs
from runner.nodes.http_pool import HttpPools
from runner.nodes.http_response import value_of
from runner.nodes.http_session import HttpSession, Pages
from runner.nodes.http_tokens import AccessTokens
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch
from schemas.pattern import JSON


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
        watch = Watch.start("no complete answer", context.remaining(), context.cancelled)
        try:
            with watch.over():
                if read.paging is None:
                    return _single(session.answer())
                pages = session.pages(read.paging)
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{read.request}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{read.request}: given up with its run", retryable=False) from None
        if pages.more:
            context.log("warning", f"there may be more than {pages.count} pages: `maxPages` ends here")
        return _joined(pages)

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
