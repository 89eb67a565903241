"""What an `http` node gives: an answer read within bounds."""

from __future__ import annotations

import base64
import codecs
import email.utils
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.message import Message
from typing import Any, Protocol

import httpcore
import orjson

from schemas.pattern import JSON

_LONGEST_WAIT = 3600.0  # seconds
_GZIP_BEGINS = b"\x1f"
_MOST_DETECTED = zlib.MAX_WBITS | 32  # gzip or zlib, whichever the header says
_LONGEST_TYPE = 500  # characters of a Content-Type: reading its parameters takes the square of its length
# Python's codecs that no page is written in; some of them take the square of the length.
_NO_CHARSETS = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})


class Decoder(Protocol):
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...

    def finish(self) -> None:
        """Raises zlib.error where more had to come."""
        ...


@dataclass(frozen=True, kw_only=True)
class Body:
    """`whole` is False when there was more than the limit allowed."""

    content: bytes
    whole: bool


def headers_of(response: httpcore.Response) -> dict[str, str]:
    """By lower-case name; what came several times is joined by commas."""
    joined: dict[str, str] = {}
    for name, value in response.headers:
        key, text = name.decode("latin-1").lower(), _text(value)
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


def read_body(response: httpcore.Response, headers: dict[str, str], limit: int) -> Body:
    """At most `limit` bytes after decompression, which makes no more than that either. Raises zlib.error."""
    decoder = _decoder(headers.get("content-encoding", ""))
    content = bytearray()
    chunks: Iterable[bytes] = response.iter_stream()
    for chunk in chunks:
        room = limit - len(content)
        if decoder:
            content += decoder.decompress(chunk, room + 1)
        else:
            content += chunk[: room + 1]
        if len(content) > limit:
            return Body(content=bytes(content[:limit]), whole=False)
    if decoder:
        decoder.finish()
    return Body(content=bytes(content), whole=True)


def _decoder(encoding: str) -> Decoder | None:
    """For the codings that were offered. A body in another one stays as it is."""
    coding = encoding.strip().lower()
    if coding in ("gzip", "x-gzip"):
        return _Gzip()
    return _Deflate() if coding == "deflate" else None


class _Gzip:
    """One member or several, one behind the other. What follows and is none, padding, is left out."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_MOST_DETECTED)
        self._begun = False

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        found = b""
        self._begun = self._begun or bool(data)
        while data and len(found) < max_length:
            if self._inner.eof:
                if not data.startswith(_GZIP_BEGINS):
                    break
                self._inner = zlib.decompressobj(_MOST_DETECTED)
            found += self._inner.decompress(data, max_length - len(found))
            data = self._inner.unused_data
        return found

    def finish(self) -> None:
        if self._begun and not self._inner.eof:
            raise zlib.error("incomplete")


class _Deflate:
    """Some servers send the zlib format that the standard asks for, some the bare one."""

    def __init__(self) -> None:
        self._inner: Any = None

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        if self._inner is None:
            wrapped = bool(data) and data[0] & 0x0F == 8
            self._inner = zlib.decompressobj(_MOST_DETECTED if wrapped else -zlib.MAX_WBITS)
        return bytes(self._inner.decompress(data, max_length))

    def finish(self) -> None:
        """Some servers leave the end out."""


def value_of(content: bytes, content_type: str) -> JSON:
    """JSON where the type says so, else text; `{base64}` of what is no text."""
    kind = Message()
    kind["content-type"] = content_type[:_LONGEST_TYPE]
    if kind.get_content_subtype() == "json" or kind.get_content_subtype().endswith("+json"):
        try:
            return orjson.loads(content) if content else None
        except orjson.JSONDecodeError:
            pass
    try:
        text = content.decode(_charset(kind.get_content_charset("utf-8")))
    except (LookupError, ValueError):
        text = "\0"
    return text if "\0" not in text else {"base64": base64.b64encode(content).decode()}


def _charset(name: str) -> str:
    """Python's name of it. Raises LookupError for what no page is written in."""
    known = codecs.lookup(name).name
    if known in _NO_CHARSETS:
        raise LookupError(name)
    return known


def retry_after(headers: dict[str, str]) -> float | None:
    """Seconds that the other side asks to wait (RFC 9110, section 10.2.3), an hour at most."""
    text = headers.get("retry-after", "").strip()
    if text.isdecimal():
        return min(float(text), _LONGEST_WAIT)
    try:
        instant = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return min(max(instant.timestamp() - time.time(), 0.0), _LONGEST_WAIT)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
