"""One ASGI application: webhooks and Git as raw functions, everything else through Starlette."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def make_app(*, hooks: Application, git: Application, pages: Application) -> Application:
    """`pages` also gets what is no request: uvicorn's lifespan."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            await pages(scope, receive, send)
        elif path.startswith("/hooks/"):
            await hooks(scope, receive, send)
        elif path.startswith("/git/"):
            await git(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return app
