"""One path of the API: who asks, which method, how much is sent; then the work, in a thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from store.database import StoreUnavailable
from web.api.encoding import Answer
from web.api.query import Parser, read_query, wrong
from web.auth import Authenticator, Identity, Role
from web.body import read_body
from web.problems import Kind, Refusal, not_found

MAX_BODY = 1024 * 1024  # bytes

WHERE_TOKENS_ARE = (
    "Send a token: `Authorization: Bearer TOKEN`. The first one is WEFT_ADMIN_TOKEN, or the content of the file"
    " admin-token in the server's data folder."
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request of somebody who may make it. `path` has the values from the URL, `query` every parameter.

    `allowed`: whether they still may, for an answer that goes on. `last_event`: the event of such an answer behind
    which they want it to go on. `key`: their `Idempotency-Key`.
    """

    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, JSON]
    allowed: Callable[[], Awaitable[bool]] = field(repr=False)
    last_event: str | None = None
    key: str | None = None


Work = Callable[[Call], JSON]
Handle = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One method of a path. `body` names the keys of its body of at most `most` bytes; None: there is none."""

    role: Role
    handle: Handle
    query: Mapping[str, Parser] | None = None
    body: tuple[str, ...] | None = None
    most: int = MAX_BODY


def reads(work: Work, query: Mapping[str, Parser] | None = None) -> Endpoint:
    """What every role may do."""
    return Endpoint(role=Role.VIEWER, handle=partial(_in_thread, work, 200), query=query)


def acts(work: Work, *, body: tuple[str, ...] = (), status: int = 202) -> Endpoint:
    """What changes the course of runs: under way with the answer, or done where `status` is 200."""
    return Endpoint(role=Role.OPERATOR, handle=partial(_in_thread, work, status), body=body)


def answers(work: Work, *, body: tuple[str, ...]) -> Endpoint:
    """What a run waits for: who may give it is for the run to say."""
    return Endpoint(role=Role.VIEWER, handle=partial(_in_thread, work, 202), body=body)


def tries(work: Work, *, body: tuple[str, ...] = (), most: int = MAX_BODY) -> Endpoint:
    """What starts, or touches, test runs: whoever may push may. Of live runs `work` has to ask for more."""
    return Endpoint(role=Role.EDITOR, handle=partial(_in_thread, work, 202), body=body, most=most)


def commits(
    work: Work, *, query: Mapping[str, Parser] | None = None, body: tuple[str, ...] | None = ()
) -> Endpoint:
    """What changes what is live, as whoever may push does it: done with the answer."""
    return Endpoint(role=Role.EDITOR, handle=partial(_in_thread, work, 200), query=query, body=body)


def administers(
    work: Work, status: int, *, query: Mapping[str, Parser] | None = None, body: tuple[str, ...] | None = None
) -> Endpoint:
    """What admins alone may do."""
    return Endpoint(role=Role.ADMIN, handle=partial(_in_thread, work, status), query=query, body=body)


async def _in_thread(work: Work, status: int, call: Call) -> Response:
    return Answer(await run_in_threadpool(work, call), status)


class Resource:
    """An ASGI application. Without endpoints it is a path where there is nothing."""

    def __init__(self, authenticator: Authenticator, **endpoints: Endpoint) -> None:
        self._authenticator = authenticator
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Refusal as refusal:
            response = refusal.response()
        except StoreUnavailable:
            away = "The database does not answer. Nothing was done."
            response = Refusal(Kind.UNAVAILABLE, away, headers={"Retry-After": "1"}).response()
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        identity = await self._identity(request)
        endpoint = self._endpoint(request)
        check_role(identity, endpoint.role)
        query = read_query(request.query_params.multi_items(), endpoint.query or {})
        body = (
            {}
            if endpoint.body is None
            else _parsed(await read_body(request, endpoint.most, _too_large(endpoint.most)), endpoint.body)
        )
        return await endpoint.handle(
            Call(
                identity=identity,
                path=request.path_params,
                query=query,
                body=body,
                allowed=partial(self._still_allowed, request, identity),
                last_event=request.headers.get("last-event-id") or None,
                key=request.headers.get("idempotency-key"),
            )
        )

    async def _still_allowed(self, request: Request, identity: Identity) -> bool:
        try:
            return await self._identity(request) == identity
        except Refusal:
            return False
        except StoreUnavailable:
            return True

    async def _identity(self, request: Request) -> Identity:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        token = token.strip()
        identity = None
        if scheme.lower() == "bearer" and token:
            identity = await run_in_threadpool(self._authenticator.by_token, token)
        if identity is None:
            challenge = 'Bearer realm="Weft"' + (', error="invalid_token"' if token else "")
            said = "This token is unknown or has expired. " if token else ""
            raise Refusal(
                Kind.UNAUTHENTICATED, said + WHERE_TOKENS_ARE, headers={"WWW-Authenticate": challenge}
            )
        return identity

    def _endpoint(self, request: Request) -> Endpoint:
        if not self._endpoints:
            raise not_found(f"There is nothing at {request.url.path}. The API is at /api/v1.")
        method = "get" if request.method == "HEAD" else request.method.lower()
        if method not in self._endpoints:
            allowed = ", ".join(name.upper() for name in self._endpoints)
            raise Refusal(Kind.METHOD, f"Use {allowed} here.", headers={"Allow": allowed})
        return self._endpoints[method]


def check_role(identity: Identity, needed: Role) -> None:
    """Raises Refusal."""
    if not identity.role.includes(needed):
        said = f"This needs the role {needed}; {identity.user} is {identity.role}."
        raise Refusal(Kind.FORBIDDEN, said)


def _too_large(most: int) -> str:
    return f"A body may have {most:,} bytes. Put large data where the run can fetch it, and send its address."


def _parsed(body: bytes, known: Iterable[str]) -> Mapping[str, JSON]:
    if not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(Kind.MALFORMED, f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise Refusal(Kind.INVALID, 'The body has to be a JSON object, such as {"input": {}}.')
    keys = sorted(known)
    unknown = [
        {"path": key, "message": f"there is no such key here. {did_you_mean(key, keys)}"}
        for key in value
        if key not in keys
    ]
    if unknown:
        raise wrong("keys of the body", unknown)
    return value
