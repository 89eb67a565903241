"""One call of a webhook, as far as it is known."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from schemas.pattern import JSON
from schemas.times import timestamp
from store.deliveries import Refused
from store.ids import new_id
from web.hooks.bodies import Body
from web.hooks.fields import fields, first, headers
from web.hooks.refusal import Reason
from web.hooks.routes import Door

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Call:
    """`path` is what stands behind the token; `raw` the body as it came, None while it was not read. `verified`
    None: nobody looked; where that is False, `unverified` says why.
    """

    __slots__ = ("address", "door", "headers", "path", "raw", "receive", "scope", "unverified", "verified")

    def __init__(self, scope: Scope, receive: Receive, path: str) -> None:
        self.scope = scope
        self.receive = receive
        self.path = path
        self.door: Door | None = None
        self.headers: dict[str, Any] = {}
        self.address: str | None = None
        self.raw: bytes | None = None
        self.verified: bool | None = None
        self.unverified: dict[str, str] | None = None

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def enter(self, door: Door) -> None:
        """It is for this webhook: what of it is secret is left out from here on."""
        self.door = door
        self.headers = headers(self.scope["headers"], door.gate.hidden)

    def header(self, wanted: str) -> str:
        """The first of that name, empty where there is none."""
        value = self.headers.get(wanted, "")
        return value if type(value) is str else first(value)

    def request(self, body: Body) -> dict[str, JSON]:
        """What can be known of it before there is a run: `method`, `path`, `query`, `headers`, `body`."""
        scope = self.scope
        return {
            "method": scope["method"],
            "path": self.path,
            "query": fields(scope["query_string"]),
            "headers": self.headers,
            "body": body.value,
        }

    def refused(self, reason: Reason, detail: str, run: str | None = None) -> Refused:
        """How it is kept, though it started nothing."""
        assert self.door is not None, "what has no deployment is not kept"
        scope = self.scope
        pairs = [
            [name.decode("latin-1"), value.decode("latin-1")]
            for name, value in scope["headers"]
            if name not in self.door.gate.hidden
        ]
        request = {
            "method": scope["method"],
            "path": self.path,
            "query": scope["query_string"].decode("latin-1"),
            "headers": pairs,
        }
        return Refused(
            id=new_id(),
            deployment_id=self.door.route.deployment_id,
            at=time.time(),
            status=reason.status,
            reason=reason.slug,
            detail=detail.replace("\0", "\ufffd"),  # it may quote a key of the body; PostgreSQL takes none
            address=self.address,
            request=request,
            body=self.raw,
            run=run,
        )


def trigger_of(request: dict[str, JSON], body: Body, **more: JSON) -> str:
    """The trigger that a run gets, as JSON text."""
    trigger = {"kind": "webhook", **request, "body": body.written, **more, "time": timestamp(time.time())}
    if body.encoding:
        trigger["encoding"] = body.encoding
    return orjson.dumps(trigger).decode()
