"""Whatever is sent to a webhook: an answer below 500 or a closed connection, soon, and no memory that stays."""

from __future__ import annotations

import gzip
import os
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hook_calls import call
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from installation import Installation, installation, live

EXAMPLES = int(os.environ.get("WEFT_EXAMPLES", "250"))
PATIENCE = 10.0
"""Seconds for an answer: far more than it takes, far less than the 30 s of a slow request."""

SEEN = "- {id: seen, uses: set, with: {body: '${{ trigger.body }}', query: '${{ trigger.query }}'}}"
WEBHOOKS: dict[str, Any] = {
    "plain": {"methods": ["GET", "POST", "PUT", "PATCH", "DELETE"], "maxBody": "64KiB"},
    "checked": {
        "body": {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}},
        "dedupe": "${{ headers['x-id'] }}",
        "methods": ["POST", "PUT"],
    },
    "signed": {"verify": {"provider": "github", "secret": "HOOK"}, "maxBody": "4KiB"},
    "tokens": {"verify": {"provider": "jwt", "secret": "HOOK", "audience": "a"}},
    "twilio": {"verify": {"provider": "twilio", "secret": "HOOK", "mode": "observe"}},
    "waits": {"respond": "last-node", "respondWithin": "2s"},
}


@pytest.fixture(scope="module")
def weft() -> Iterator[Installation]:
    with installation("--workers", "1", WEFT_SECRET_HOOK="a-secret-of-32-characters-or-more") as weft:
        files: dict[str, str] = {}
        for name, webhook in WEBHOOKS.items():
            files |= live(name, SEEN, on={"webhook": webhook})
        weft.push(files)
        yield weft


@pytest.fixture(scope="module")
def hooks(weft: Installation) -> dict[str, str]:
    return {name: weft.hook(name) for name in WEBHOOKS}


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABC-_0123456789", min_size=1, max_size=20)
METHODS = st.sampled_from(
    [*["POST"] * 12, *("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "weft")]
)
PRINTED = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40).map(str.encode)
WILD = st.binary(max_size=60).map(lambda value: value.translate(None, b"\r\n"))
NAMES = st.sampled_from(
    [
        *(
            b"X-Hub-Signature-256",
            b"X-Twilio-Signature",
            b"Authorization",
            b"X-Forwarded-For",
            b"X-Id",
            b"X-Id",
        ),
        *(b"Cookie", b"Idempotency-Key", b"X-Forwarded-Proto", b"Accept", b"Content-Type", b"Expect"),
    ]
)
RULING = st.sampled_from(
    [b"Content-Length", b"Transfer-Encoding", b"Host", b"Connection", b"Content-Encoding"]
)
HEADERS = st.lists(st.tuples(NAMES, PRINTED), max_size=4) | st.lists(
    st.tuples(NAMES | RULING | TOKEN.map(str.encode), PRINTED | WILD), max_size=3
)
TYPES = st.sampled_from(
    [
        *(b"application/json", b"application/json; charset=utf-16", b"application/x-www-form-urlencoded"),
        *(b"text/plain", b"application/cloudevents+json", b"multipart/form-data; boundary=x", b";", b""),
    ]
)
QUERIES = st.sampled_from(
    [*[b""] * 6, b"?", b"?ping", b"?a=1&a=2&b", b"?%zz=%00&=", b"?" + b"a&" * 1500]
) | st.binary(max_size=30).map(lambda value: b"?" + bytes(b for b in value if 0x20 < b < 0x7F and b != 0x23))
TAILS = st.sampled_from(
    [*[b""] * 6, b"/", b"/a/b", b"/%00", b"/%ff%fe", b"/..%2f..", b"//", b"/" + b"x" * 3000]
)
BODIES = st.one_of(
    st.binary(max_size=400),
    st.sampled_from(
        [
            *(b"", b"{}", b'{"id": 1}', b'{"id": 1}{', b'{"a": "\\u0000"}', b'"\\ud800"', b"null", b"1e400"),
            *(b"[" * 3000, b"[" * 300 + b"]" * 300, b"[" * 190 + b"]" * 190, b"9" * 5000, b"a=1&b=%ff&c"),
            *(b"\xff\xfe\x00", b'{"id": 1, "id": 2}', b"x" * 70_000, b'{"x": "' + b"y" * 5000 + b'"}'),
        ]
    ),
)
PACKINGS = st.sampled_from([*["none"] * 5, "gzip", "deflate", "half", "bomb", "lie"])
SENDINGS = st.sampled_from(
    [*["length"] * 6, *["chunked"] * 2, "short", "long", "bad chunks", "cut chunks", "none"]
)


def packed(body: bytes, packing: str) -> tuple[bytes, list[bytes]]:
    match packing:
        case "gzip":
            return gzip.compress(body), [b"Content-Encoding: gzip"]
        case "deflate":
            return zlib.compress(body), [b"Content-Encoding: deflate"]
        case "half":
            whole = gzip.compress(body)
            return whole[: len(whole) // 2], [b"Content-Encoding: gzip"]
        case "bomb":
            return gzip.compress(b"0" * 3_000_000), [b"Content-Encoding: gzip"]
        case "lie":
            return body, [b"Content-Encoding: gzip"]
    return body, []


def framed(body: bytes, sending: str) -> tuple[bytes, list[bytes]]:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:]) if part)
    match sending:
        case "length":
            return body, [b"Content-Length: %d" % len(body)]
        case "chunked":
            return chunks + b"0\r\n\r\n", [b"Transfer-Encoding: chunked"]
        case "short":
            return body, [b"Content-Length: %d" % (len(body) + 10)]
        case "long":
            return body + b"surplus", [b"Content-Length: %d" % len(body)]
        case "bad chunks":
            return b"zz\r\n" + body, [b"Transfer-Encoding: chunked"]
        case "cut chunks":
            return chunks, [b"Transfer-Encoding: chunked"]
    return b"", []


def answer(weft: Installation, request: bytes, *, ends: bool) -> bytes:
    """All that comes back until the other side closes. With `ends`, nothing follows what was sent."""
    host, _, port = weft.address.rpartition(":")
    received = b""
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as caller:
        with suppress(ConnectionError):
            caller.sendall(request)
            if ends:
                caller.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while chunk := caller.recv(65536):
                received += chunk
    return received


@given(
    name=st.sampled_from(sorted(WEBHOOKS)),
    method=METHODS,
    tail=TAILS,
    query=QUERIES,
    kind=TYPES,
    more=HEADERS,
    body=BODIES,
    packing=PACKINGS,
    sending=SENDINGS,
)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_that_is_sent_is_a_5xx_or_a_hang(
    weft: Installation,
    hooks: dict[str, str],
    name: str,
    method: str,
    tail: bytes,
    query: bytes,
    kind: bytes,
    more: list[tuple[bytes, bytes]],
    body: bytes,
    packing: str,
    sending: str,
) -> None:
    body, encoding = packed(body, packing)
    body, framing = framed(body, sending)
    lines = [method.encode() + b" " + hooks[name].encode() + tail + query + b" HTTP/1.1", b"Host: weft"]
    lines += [
        b"Content-Type: " + kind,
        *encoding,
        *framing,
        *(header + b": " + value for header, value in more),
    ]
    began = time.monotonic()
    lines.append(b"Connection: close")
    whole = sending in ("length", "chunked", "none")
    said = answer(weft, b"\r\n".join(lines) + b"\r\n\r\n" + body, ends=not whole)
    assert time.monotonic() - began < PATIENCE
    if said:
        status = int(said.split(b" ", 2)[1])
        event(f"{status}")
        assert 100 <= status < 500, said[:500]


def test_afterwards_it_works_as_before(weft: Installation, hooks: dict[str, str]) -> None:
    [pid] = weft.pids("weft-web")
    with open(f"/proc/{pid}/status") as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    assert memory < 400_000, "kB at the most"
    assert call(weft, hooks["plain"], '{"a": 1}').status == 202
    assert not [event for event in weft.events() if event.get("level") in ("error", "critical")], weft.log()
    weft.await_ends()
    bad = weft.rows("SELECT error FROM runs WHERE status NOT IN ('completed')")
    assert all("U+0000" in str(error) or "nested" in str(error) for (error,) in bad), bad[:3]
