"""Webhooks: `ANY /hooks/{token}[/…]` becomes a run. A raw ASGI function: this is the hot path.

The trigger that a run sees: `kind`, `method`, `path` (behind the token), `query` and `headers` (texts, or lists
of them where a name came twice; header names in lower case; credentials are left out), `body` (parsed JSON, a
form's fields, or text; bytes that are no UTF-8 as base64 with `encoding: base64`), `time`.
"""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from schemas.times import timestamp
from store.admission import Answer, Verdict
from store.database import StoreUnavailable
from store.deployments import Route
from store.ids import new_id
from store.runs import NewRun
from web.intake import Intake, Overloaded
from web.routes import Routes, is_light

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PREFIX = "/hooks/"
MAX_FIELDS = 1000
CREDENTIALS = frozenset({b"authorization", b"proxy-authorization", b"cookie"})
MAX_LEVELS = 200
"""How deep a JSON body may be nested: nodes must be able to put it into something and write that."""

WRITABLE = 254
"""Levels that orjson writes. (It reads 1,024.)"""

LOOK_PATIENCE = 2.0
"""Seconds in which the database has to say whether a URL has become known meanwhile."""


class Refusal(Exception):
    """An answer other than 202: nothing was accepted."""

    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or {}


class Hooks:
    """The ASGI application for everything below `/hooks/`."""

    def __init__(self, routes: Routes, intake: Intake, public_url: str) -> None:
        self._routes = routes
        self._intake = intake
        self._runs = f"{public_url}/api/v1/runs/"
        self._look: asyncio.Future[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            run, status = await self._accept(scope, receive)
            answer = orjson.dumps({"run": {"id": run, "status": status, "url": self._runs + run}})
            await _answer(send, 202, b"application/json", answer)
        except Refusal as refusal:
            await _refuse(send, refusal)

    async def _accept(self, scope: Scope, receive: Receive) -> tuple[str, Answer]:
        token, slash, rest = scope["path"][len(PREFIX) :].partition("/")
        route = self._routes.get(token)
        if (route is None or route.state != "active") and self._routes.may_be_old():
            await self._refresh()
            route = self._routes.get(token)
        _check_open(route, scope["method"])
        assert route is not None
        headers = _headers(scope["headers"])
        body = await _read(receive, headers, route.max_body)
        trigger = _trigger(scope, slash + rest, headers, body)
        run = NewRun(id=new_id(), deployment_id=route.deployment_id, kind="webhook", trigger=trigger)
        return run.id, await self._submit(run, route)

    async def _submit(self, run: NewRun, route: Route) -> Answer:
        try:
            verdict = await self._intake.accept(run, light=is_light(route))
        except Overloaded:
            raise _busy("More calls arrive than can be written down. Nothing of this one was kept.") from None
        except StoreUnavailable:
            raise _busy("The database does not answer. Whether this call was kept is not known.") from None
        if verdict.accepted:
            return verdict.answer
        _check_admitted(verdict, route.name)
        # What we knew was older than what the database knows.
        await self._refresh()
        _check_open(self._routes.get(route.token), None)
        raise _busy("The deployment is changing right now.")

    async def _refresh(self) -> None:
        """Whoever asks shares the look that is under way: a database that is away blocks one thread, not all."""
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(asyncio.to_thread(self._routes.refresh))
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        try:
            await asyncio.wait_for(asyncio.shield(self._look), LOOK_PATIENCE)
        except (TimeoutError, StoreUnavailable):
            raise _busy("The database does not answer. Nothing of this call was kept.") from None


def _check_open(route: Route | None, method: str | None) -> None:
    if route is None:
        raise Refusal(404, "No such webhook", "This URL belongs to no live deployment with a webhook.")
    if route.state == "paused":
        detail = f"{route.name} is paused: its webhook accepts nothing until it is resumed."
        raise Refusal(503, "Paused", detail, {"retry-after": "60"})
    if route.state == "archived":
        raise Refusal(410, "Archived", f"{route.name} is archived, for good.")
    if method is not None and method not in route.methods:
        allowed = ", ".join(route.methods)
        raise Refusal(405, "Method not allowed", f"{route.name} accepts {allowed}.", {"allow": allowed})


def _check_admitted(verdict: Verdict, name: str) -> None:
    if verdict.answer is Answer.FULL:
        detail = (
            f"As many runs of {name} are at work as its `concurrency` allows. Nothing of this call was kept."
        )
        raise Refusal(409, "Full", detail)
    if verdict.answer is Answer.CIRCUIT_OPEN:
        after = str(max(1, math.ceil(verdict.retry_after or 1)))
        detail = f"Too many runs of {name} failed: its circuit is open. Nothing of this call was kept."
        raise Refusal(503, "Circuit open", detail, {"retry-after": after})


def _busy(detail: str) -> Refusal:
    return Refusal(503, "Try again", detail, {"retry-after": "1"})


async def _read(receive: Receive, headers: dict[str, Any], limit: int) -> bytes:
    declared = headers.get("content-length", "0")
    if str(declared).isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refusal(400, "Cut off", "The connection ended before the body did.")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        413, "Too large", f"The body has more than {limit:,} bytes, the `maxBody` of this webhook."
    )


def _trigger(scope: Scope, path: str, headers: dict[str, Any], body: bytes) -> str:
    value, encoding = _body(headers.get("content-type", ""), body)
    trigger = {
        "kind": "webhook",
        "method": scope["method"],
        "path": path,
        "query": _fields(scope["query_string"]),
        "headers": headers,
        "body": value,
        "time": timestamp(time.time()),
    }
    if encoding:
        trigger["encoding"] = encoding
    return orjson.dumps(trigger).decode()


def _body(content_type: str, body: bytes) -> tuple[Any, str | None]:
    """The body's value, and `base64` when it is bytes that are no text."""
    kind = content_type.partition(";")[0].strip().lower() if isinstance(content_type, str) else ""
    if not body:
        return None, None
    if kind == "application/json" or kind.endswith("+json"):
        return _json(body), None
    if kind == "application/x-www-form-urlencoded":
        return _fields(body), None
    try:
        return body.decode(), None
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), "base64"


def _json(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refusal(400, "Not JSON", f"The content type says JSON, the body is not: {error}") from None
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS:
        _check_levels(value)
    # Checked already, so it need not be written again from its parts.
    return orjson.Fragment(body) if value is not None else None


def _check_levels(value: Any) -> None:
    """Writing it tells at the speed of C: put into as many lists as make MAX_LEVELS and them WRITABLE."""
    for _ in range(WRITABLE - MAX_LEVELS):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise Refusal(400, "Too deep", f"The body is nested more than {MAX_LEVELS} levels deep.") from None


def _fields(query: bytes) -> dict[str, str | list[str]]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise Refusal(
            400, "Malformed fields", f"Fields are URL-encoded UTF-8, at most {MAX_FIELDS} of them."
        ) from None
    return _gathered(pairs)


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    kept = [(name, value) for name, value in raw if name not in CREDENTIALS]
    headers: dict[str, Any] = {name.decode("latin-1"): value.decode("latin-1") for name, value in kept}
    if len(headers) == len(kept):
        return headers
    return _gathered((name.decode("latin-1"), value.decode("latin-1")) for name, value in kept)


def _gathered(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    gathered: dict[str, Any] = {}
    for name, value in pairs:
        known = gathered.get(name)
        if known is None:
            gathered[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            gathered[name] = [known, value]
    return gathered


async def _refuse(send: Send, refusal: Refusal) -> None:
    problem = {
        "type": "about:blank",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
    }
    headers = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    await _answer(send, refusal.status, b"application/problem+json", orjson.dumps(problem), headers)


async def _answer(
    send: Send, status: int, kind: bytes, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    length = str(len(body)).encode()
    fixed = [(b"content-type", kind), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
