"""A request's body, up to a limit."""

from __future__ import annotations

from starlette.requests import Request

from web.problems import Kind, Refusal


async def read_body(request: Request, most: int, too_large: str) -> bytes:
    """Up to `most` bytes. Raises Refusal, which says `too_large`, and ClientDisconnect."""
    declared = request.headers.get("content-length", "0")
    body = bytearray()
    if not declared.isdigit() or int(declared) <= most:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                break
        else:
            return bytes(body)
    # The rest of the body is not read, so the connection is of no more use.
    raise Refusal(Kind.TOO_LARGE, too_large, headers={"Connection": "close"})
