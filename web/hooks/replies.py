"""What a caller is sent."""

from __future__ import annotations

import base64
import binascii
import contextlib
from typing import Any, Final, NamedTuple

import orjson

from store.answers import State
from web.hooks.refusal import Refusal
from web.problems import PREFIX

_JSON: Final = b"application/json"
_PROBLEM: Final = b"application/problem+json"

_GUARDS: Final = [
    (b"x-content-type-options", b"nosniff"),
    # The console is on the same host: a page that a pattern answers with must not be able to act for its reader.
    (b"content-security-policy", b"sandbox allow-scripts allow-forms allow-popups"),
]


class Reply(NamedTuple):
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def accepted(run: str, status: str, url: str) -> Reply:
    """The run, and where to read it."""
    body = orjson.dumps({"run": {"id": run, "status": status, "url": url}})
    return Reply(202, _headers(_JSON, body), body)


def again(reply: Reply) -> Reply:
    """The answer to a call that came before."""
    return reply._replace(headers=[*reply.headers, (b"idempotent-replayed", b"true")])


def said(value: Any) -> Reply:
    body = orjson.dumps(value)
    return Reply(200, _headers(_JSON, body), body)


def text(said: str) -> Reply:
    body = said.encode()
    return Reply(200, _headers(b"text/plain; charset=utf-8", body), body)


def refused(refusal: Refusal) -> Reply:
    body = refusal.document
    more = [(name.encode(), value.encode()) for name, value in refusal.headers.items()]
    return Reply(refusal.reason.status, [*_headers(_PROBLEM, body), *more], body)


def output(written: bytes | None) -> Reply:
    """What a run gave, as JSON."""
    body = written or b"null"
    return Reply(200, [*_headers(_JSON, body), *_GUARDS], body)


def ended(state: State, url: str) -> Reply:
    """Of a run that ended without an answer for its caller."""
    run = {"id": state.run, "status": state.status, "url": url}
    if state.status == "completed":
        return said({"run": run})
    problem: dict[str, Any] = {
        "type": PREFIX + "run-failed",
        "title": "The run ended badly",
        "status": 500,
        "detail": f"The run that this call started is {state.status}. Its URL says why, to those who may read it.",
        "run": run,
    }
    body = orjson.dumps(problem)
    return Reply(500, _headers(_PROBLEM, body), body)


def answered(written: bytes) -> Reply:
    """What a `respond` node said."""
    answer = orjson.loads(written)
    kind, body = _body(answer)
    written_headers = answer["headers"].items()
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in written_headers]
    # Where a secret was starred in it, there may be no number any more.
    status = answer["status"] if isinstance(answer["status"], int) else 200
    if status in (204, 205, 304):
        return Reply(status, [*headers, *_GUARDS], b"")
    if not any(name == b"content-type" for name, _ in headers):
        headers.append((b"content-type", kind))
    length = (b"content-length", str(len(body)).encode())
    return Reply(status, [*headers, length, *_GUARDS], body)


def _body(answer: Any) -> tuple[bytes, bytes]:
    """Its type and its bytes."""
    value = answer["body"]
    if answer.get("encoding") == "base64" and isinstance(value, str):
        with contextlib.suppress(binascii.Error):
            return b"application/octet-stream", base64.b64decode(value, validate=True)
    if value is None:
        return b"text/plain; charset=utf-8", b""
    if isinstance(value, str):
        return b"text/plain; charset=utf-8", value.encode()
    return _JSON, orjson.dumps(value)


def _headers(kind: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
