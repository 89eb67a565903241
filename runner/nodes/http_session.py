"""What one `http` node asks: with its token, page by page."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from http import HTTPStatus

from runner.nodes.http_client import HttpAnswer, HttpClient, Wanted
from runner.nodes.http_inputs import HttpInputs
from runner.nodes.http_paging import Paging
from runner.nodes.http_pool import HttpPools
from runner.nodes.http_request import HttpRequest, origin
from runner.nodes.http_tokens import AccessToken, AccessTokens, ClientCredentials
from schemas.pattern import JSON


@dataclass(frozen=True, kw_only=True)
class Pages:
    """`more`: there are, or may be, others, and `maxPages` were read."""

    last: HttpAnswer
    items: list[JSON]
    count: int
    more: bool


@dataclass(frozen=True, kw_only=True)
class HttpSession:
    read: HttpInputs
    client: HttpClient
    tokens: AccessTokens

    @classmethod
    def start(
        cls, read: HttpInputs, pools: HttpPools, tokens: AccessTokens, allow: tuple[str, ...]
    ) -> HttpSession:
        """`allow` is the project's `network.allow`."""
        host = read.request.url.host
        named = {host} if read.credentials is None else {host, read.credentials.token_url.host}
        client = HttpClient(pools=pools, allow=allow, tls=read.tls, host=host, named=frozenset(named))
        return cls(read=read, client=client, tokens=tokens)

    def answer(self) -> HttpAnswer:
        return self._ask(self.read.request, self.read.wanted.max_response)

    def pages(self, paging: Paging) -> Pages:
        """Their sizes count together. Raises NodeError."""
        request, left = paging.first(self.read.request), self.read.wanted.max_response
        items: list[JSON] = []
        count, before = 0, b""
        while True:
            answer = self._ask(request, left)
            page = paging.page(request, answer, count, len(items))
            paging.check_new(answer, before)
            items += page.items
            count, before = count + 1, answer.body.content
            left -= len(before)
            if page.following is None or count == paging.max_pages:
                return Pages(last=answer, items=items, count=count, more=page.following is not None)
            request = page.following

    def _ask(self, request: HttpRequest, limit: int) -> HttpAnswer:
        wanted = replace(self.read.wanted, max_response=limit)
        credentials = self.read.credentials
        # A page may be elsewhere: where the token is not known.
        if credentials is None or origin(request.url) != origin(self.read.request.url):
            answer = self.client.send(request, wanted)
        else:
            answer = self._ask_with_token(request, wanted, credentials)
        return answer.checked(self.read.wanted)

    def _ask_with_token(
        self, request: HttpRequest, wanted: Wanted, credentials: ClientCredentials
    ) -> HttpAnswer:
        """Once more, with a new token, where the one that was kept is not taken any more."""
        token = self._token(credentials)
        answer = self.client.send(_bearing(request, token), wanted)
        if answer.status != HTTPStatus.UNAUTHORIZED or "authorization" not in answer.request.headers:
            return answer
        self.tokens.forget(self._key(credentials), token)
        return self.client.send(_bearing(request, self._token(credentials)), wanted)

    def _token(self, credentials: ClientCredentials) -> AccessToken:
        return self.tokens.get(self._key(credentials), lambda: credentials.fetch(self.client))

    def _key(self, credentials: ClientCredentials) -> Hashable:
        """What one project may fetch is nothing for another."""
        return self.client.allow, self.client.tls, credentials


def _bearing(request: HttpRequest, token: AccessToken) -> HttpRequest:
    return request.with_authorization(b"Bearer " + token.value.encode())
