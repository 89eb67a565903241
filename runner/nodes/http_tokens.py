"""Access tokens of OAuth 2 client credentials (RFC 6749, section 4.4), kept until shortly before they expire."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote_plus, urlencode

import httpx
import orjson

from runner.nodes.base import NodeError
from runner.nodes.http_client import HttpAnswer, HttpClient, Wanted
from runner.nodes.http_request import HttpRequest, basic
from runner.nodes.http_response import retry_after
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch

_LOOK = 0.02  # seconds between two looks at what a wait depends on
_MAX_KEPT = 256  # tokens of one process
_UNTOLD_LIFE = 300.0  # seconds; where the answer does not say
_LONGEST_LIFE = 30 * 86400.0  # seconds
_LONGEST_MARGIN = 30.0  # seconds before its end at which a token is not used any more
_MAX_ANSWER = 64 * 1024  # bytes
_ERROR_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, kw_only=True)
class AccessToken:
    value: str = field(repr=False)
    good_until: float  # monotonic seconds


@dataclass(frozen=True, kw_only=True)
class ClientCredentials:
    token_url: httpx.URL
    client_id: str
    client_secret: str = field(repr=False)
    scope: str | None = None
    audience: str | None = None
    client_auth: Literal["basic", "post"] = "basic"

    def fetch(self, client: HttpClient) -> AccessToken:
        """Raises NodeError `no_token`, whose message has no more of the answer than the code of its error."""
        answer = client.send(self._request(), Wanted(max_response=_MAX_ANSWER))
        if answer.status != 200 or not answer.body.whole:
            raise _refused(answer)
        return _token(answer)

    def _request(self) -> HttpRequest:
        form = {"grant_type": "client_credentials", "scope": self.scope, "audience": self.audience}
        headers = {
            "accept": b"application/json",
            "content-type": b"application/x-www-form-urlencoded",
            "user-agent": b"weft",
        }
        if self.client_auth == "basic":
            headers["authorization"] = basic(quote_plus(self.client_id), quote_plus(self.client_secret))
        else:
            form |= {"client_id": self.client_id, "client_secret": self.client_secret}
        given = {name: value for name, value in form.items() if value is not None}
        return HttpRequest(
            method="POST", url=self.token_url, headers=headers, content=urlencode(given).encode()
        )


class AccessTokens:
    """By key; one fetch at a time for each. For many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Future[AccessToken]] = OrderedDict()

    def get(self, key: Hashable, fetch: Callable[[], AccessToken]) -> AccessToken:
        """What is kept, or what `fetch` gives. Waiting for another thread's fetch ends with the own `Watch`."""
        while True:
            future, ours = self._place(key)
            if ours:
                return self._fetch(key, future, fetch)
            try:
                return _result(future)
            except (CancelledError, DeadlinePassedError):
                # Whether that was our own watch or the other thread's: ours knows.
                Watch.current().left()

    def forget(self, key: Hashable, token: AccessToken) -> None:
        """It is not good any more. A newer one stays."""
        with self._lock:
            future = self._kept.get(key)
            if future is not None and future.done() and future.result() is token:
                del self._kept[key]

    def _place(self, key: Hashable) -> tuple[Future[AccessToken], bool]:
        """The place where the token is or will be, and whether it is this thread that has to fill it."""
        with self._lock:
            future = self._kept.get(key)
            if future is not None and not (future.done() and _is_over(future)):
                self._kept.move_to_end(key)
                return future, False
            future = self._kept[key] = Future()
            self._kept.move_to_end(key)
            if len(self._kept) > _MAX_KEPT:
                self._kept.popitem(last=False)
            return future, True

    def _fetch(
        self, key: Hashable, future: Future[AccessToken], fetch: Callable[[], AccessToken]
    ) -> AccessToken:
        try:
            token = fetch()
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is future:
                    del self._kept[key]
            future.set_exception(error)
            raise
        future.set_result(token)
        return token


def _result(future: Future[AccessToken]) -> AccessToken:
    while not future.done():
        try:
            future.exception(min(Watch.current().left(), _LOOK))
        except TimeoutError:
            continue
    return future.result()


def _is_over(future: Future[AccessToken]) -> bool:
    return future.result().good_until <= time.monotonic()


def _token(answer: HttpAnswer) -> AccessToken:
    try:
        given = orjson.loads(answer.body.content)
        value, kind = given["access_token"], given.get("token_type", "bearer")
        life = min(_LONGEST_LIFE, float(given.get("expires_in") or _UNTOLD_LIFE))
    except (ValueError, KeyError, TypeError, AttributeError):
        value, kind, life = None, "", 0.0
    if not isinstance(value, str) or not _TOKEN.fullmatch(value) or str(kind).lower() != "bearer":
        raise NodeError("no_token", f"{answer.request}: the answer has no bearer token", retryable=False)
    margin = min(_LONGEST_MARGIN, life / 10)
    return AccessToken(value=value, good_until=time.monotonic() + life - margin)


def _refused(answer: HttpAnswer) -> NodeError:
    try:
        code = str(orjson.loads(answer.body.content)["error"])
    except (ValueError, KeyError, TypeError):
        code = ""
    told = f" ({code})" if _ERROR_CODE.fullmatch(code) else ""
    return NodeError(
        "no_token",
        f"{answer.request}: no access token, but status {answer.status}{told}",
        hint="check `tokenUrl`, `clientId`, `clientSecret` and `scope`; some servers want `clientAuth: post`",
        retryable=answer.retryable,
        retry_after=retry_after(answer.headers),
    )
