"""The body of a call: read, unpacked, understood. Each with a limit."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple

import orjson

from schemas.pattern import JSON
from web.hooks.fields import fields
from web.hooks.refusal import Reason, Refusal, busy

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_LEVELS: Final = 200
"""How deep a JSON body may be nested: nodes must be able to put it into something and write that."""

WRITABLE: Final = 254
"""Levels that orjson writes. (It reads 1,024.)"""

IN_ALL: Final = 256 * 1024 * 1024
"""Bytes of bodies that one process holds at a time; beyond that, callers are told to come back."""

SMALL: Final = 64 * 1024
"""Bytes of a body that are not counted."""

_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content encodings, and what zlib calls them."""


class Reader:
    """Reads bodies, and knows how much of them is in memory."""

    def __init__(self) -> None:
        self._held = 0

    async def read(self, receive: Receive, declared: str, limit: int) -> bytes:
        """The bytes as they come over the wire. `declared` is the Content-Length, if any. They count until
        `let_go`.
        """
        if declared.isdigit() and int(declared) > limit:
            raise too_large(limit)
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            whole: bytes = message.get("body", b"")
            if len(whole) > limit:
                raise too_large(limit)
            self._hold(_counted(len(whole)))
            return whole
        return await self._gather(message, receive, limit)

    def let_go(self, body: bytes) -> None:
        """Of one that was read, nothing is in memory any more."""
        self._held -= _counted(len(body))

    def _hold(self, more: int) -> None:
        if more and self._held + more > IN_ALL:
            raise busy("Too much is being sent at one time. Nothing of this call was kept.")
        self._held += more

    async def _gather(self, message: MutableMapping[str, Any], receive: Receive, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = counted = 0
        whole = False
        try:
            while message["type"] == "http.request":
                chunk: bytes = message.get("body", b"")
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                self._hold(_counted(size) - counted)
                counted = _counted(size)
                if not message.get("more_body"):
                    whole = True
                    return b"".join(chunks)
                message = await receive()
            raise Refusal(Reason.CUT, "The connection ended before the body did.")
        finally:
            if not whole:
                self._held -= counted


def _counted(size: int) -> int:
    return max(0, size - SMALL)


def too_large(limit: int) -> Refusal:
    detail = f"The body has more than {limit:,} bytes, the `maxBody` of this webhook."
    return Refusal(Reason.TOO_LARGE, detail)


def unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity") or not body:
        return body
    if encoding not in _WINDOWS:
        known = "gzip, deflate"
        detail = f"The body is encoded as {encoding!r:.50}. Send it as it is, or with {known}."
        raise Refusal(Reason.ENCODING, detail, headers={"accept-encoding": known})
    unpacker = zlib.decompressobj(_WINDOWS[encoding])
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise Refusal(Reason.COMPRESSED, f"The body is not {encoding}: {error}.") from None
    if len(plain) > limit:
        raise too_large(limit)
    if not unpacker.eof or unpacker.unused_data:
        raise Refusal(Reason.COMPRESSED, f"The body is not {encoding} from its beginning to its end.")
    return plain


class Body(NamedTuple):
    """`value` is what nodes see; `written` writes it into the trigger: the bytes as they came, where they are JSON.
    `encoding` is `base64` for bytes that are no text.
    """

    value: JSON
    written: Any
    encoding: str | None = None


NO_BODY: Final = Body(None, None)


def understood(content_type: str, body: bytes) -> Body:
    """JSON and forms are parsed, other text is text."""
    if not body:
        return NO_BODY
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json" or kind.endswith("+json"):
        return _json(body)
    if kind == "application/x-www-form-urlencoded":
        value = fields(body)
        return Body(value, value)
    try:
        text = body.decode()
    except UnicodeDecodeError:
        encoded = base64.b64encode(body).decode()
        return Body(encoded, encoded, "base64")
    return Body(text, text)


def _json(body: bytes) -> Body:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"The content type says JSON, the body is not: {error}"
        raise Refusal(Reason.NOT_JSON, detail) from None
    if body.count(b"[") + body.count(b"{") > MAX_LEVELS:
        _check_levels(value)
    # Checked already, so it need not be written again from its parts.
    return Body(value, orjson.Fragment(body)) if value is not None else NO_BODY


def _check_levels(value: Any) -> None:
    """Writing it tells at the speed of C: put into as many lists as make MAX_LEVELS and them WRITABLE."""
    for _ in range(WRITABLE - MAX_LEVELS):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        detail = f"The body is nested more than {MAX_LEVELS} levels deep."
        raise Refusal(Reason.TOO_DEEP, detail) from None
