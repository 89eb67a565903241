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
from web.hooks.fields import CREDENTIALS, fields, headers
from web.hooks.refusal import Reason
from web.hooks.routes import Door

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Call:
    """`path` is what stands behind the token; `raw` the body as it came, None while it was not read."""

    __slots__ = ("address", "door", "path", "raw", "receive", "scope", "verified")

    def __init__(self, scope: Scope, receive: Receive, path: str) -> None:
        self.scope = scope
        self.receive = receive
        self.path = path
        self.door: Door | None = None
        self.address: str | None = None
        self.raw: bytes | None = None
        self.verified: bool | None = None

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def header(self, wanted: bytes) -> str:
        """The first of that name, empty where there is none."""
        for name, value in self.scope["headers"]:
            if name == wanted:
                return str(value.decode("latin-1"))
        return ""

    def request(self, body: Body) -> dict[str, JSON]:
        """What can be known of it before there is a run: `method`, `path`, `query`, `headers`, `body`."""
        scope = self.scope
        return {
            "method": scope["method"],
            "path": self.path,
            "query": fields(scope["query_string"]),
            "headers": headers(scope["headers"], self.hidden),
            "body": body.value,
        }

    @property
    def hidden(self) -> frozenset[bytes]:
        """The headers that nobody gets to see."""
        return CREDENTIALS if self.door is None else self.door.gate.hidden

    def refused(self, reason: Reason, detail: str, run: str | None = None) -> Refused:
        """How it is kept, though it started nothing."""
        assert self.door is not None, "what has no deployment is not kept"
        scope = self.scope
        pairs = [
            [name.decode("latin-1"), value.decode("latin-1")]
            for name, value in scope["headers"]
            if name not in self.hidden
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
            detail=detail,
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
