"""The body of a request, as an `http` node describes it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson

from runner.nodes.http_values import mapping_of, one_of, pairs_of, text_of, text_pairs_of
from schemas.pattern import JSON

BODIES = ("json", "form", "multipart", "body")
_PART = ("filename", "contentType", "content", "base64")
_BINARY = "application/octet-stream"
_QUOTED = str.maketrans(
    {'"': "%22", "\r": "%0D", "\n": "%0A"}
)  # https://html.spec.whatwg.org/#multipart-form-data


@dataclass(frozen=True, kw_only=True)
class Content:
    data: bytes
    type: str


def content_of(inputs: Mapping[str, JSON]) -> Content | None:
    """Of the one of `json`, `form`, `multipart` and `body` that is given. Raises ValueError."""
    given = one_of("a request", inputs, BODIES)
    return None if given is None else _MAKERS[given](inputs[given])


def _json(value: JSON) -> Content:
    try:
        return Content(data=orjson.dumps(value), type="application/json")
    except orjson.JSONEncodeError as error:
        raise ValueError(f"`json` cannot be written as JSON: {error}") from error


def _form(value: JSON) -> Content:
    data = urlencode(text_pairs_of("form", value)).encode()
    return Content(data=data, type="application/x-www-form-urlencoded")


def _raw(value: JSON) -> Content:
    """Text, or bytes as `{base64}`: the shape that answers have, too."""
    if isinstance(value, dict):
        mapping_of("`body`", value, ("base64",))
        return Content(data=_bytes("`body`", value.get("base64")), type=_BINARY)
    return Content(data=text_of("`body`", value).encode(), type="text/plain; charset=utf-8")


def _multipart(value: JSON) -> Content:
    """RFC 7578. The boundary follows from the parts, so that every attempt sends the same bytes."""
    parts = [_part(name, part) for name, part in pairs_of("multipart", value)]
    boundary = hashlib.sha256(b"\0".join(parts)).hexdigest()[:32].encode()
    data = b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary
    return Content(data=data, type=f"multipart/form-data; boundary={boundary.decode()}")


def _part(name: str, value: JSON) -> bytes:
    what = f"{name[:100]!r} in `multipart`"
    disposition = f'Content-Disposition: form-data; name="{name.translate(_QUOTED)}"'
    if not isinstance(value, dict):
        return f"{disposition}\r\n\r\n{text_of(what, value)}".encode()
    mapping_of(what, value, _PART)
    if "filename" in value:
        filename = text_of(f"`filename` of {what}", value["filename"])
        disposition += f'; filename="{filename.translate(_QUOTED)}"'
    binary = one_of(what, value, ("content", "base64")) == "base64"
    data = _bytes(what, value["base64"]) if binary else text_of(what, value.get("content")).encode()
    default = _BINARY if binary or "filename" in value else "text/plain; charset=utf-8"
    content_type = text_of(f"`contentType` of {what}", value.get("contentType", default))
    if not content_type.isprintable():
        raise ValueError(f"`contentType` of {what} has a character that no header can hold")
    return f"{disposition}\r\nContent-Type: {content_type}\r\n\r\n".encode() + data


def _bytes(what: str, value: JSON) -> bytes:
    try:
        return base64.b64decode(text_of(f"`base64` of {what}", value), validate=True)
    except ValueError:
        raise ValueError(f"`base64` of {what} is not base64") from None


_MAKERS: Mapping[str, Callable[[JSON], Content]] = {
    "json": _json,
    "form": _form,
    "multipart": _multipart,
    "body": _raw,
}
