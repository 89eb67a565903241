"""`respond`: what the caller of a webhook is answered while the run goes on."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from runner.attempt import Attempt
from runner.engine import Entry
from runner.nodes.base import NodeError
from schemas.json_text import dump
from schemas.pattern import JSON

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_OF_THE_CONNECTION: Final = frozenset(
    {"connection", "content-length", "date", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_OF_THE_CONSOLE: Final = frozenset(
    {
        *(
            "clear-site-data",
            "content-security-policy",
            "service-worker-allowed",
            "set-cookie",
            "set-cookie2",
        ),
        *("strict-transport-security", "x-content-type-options", "alt-svc", "nel", "report-to"),
    }
)
"""The console is on the same host: a pattern must not speak for it, nor change what a browser knows of it."""

_OF_PROXIES: Final = ("x-accel-", "x-sendfile", "x-lighttpd-send", "x-litespeed-location", "x-reproxy-")
"""How headers begin that a proxy in front obeys: it would answer with a file of its own."""


def respond(attempt: Attempt) -> Entry:
    """The first answer of a run is the one that is sent."""
    inputs = attempt.evaluate(attempt.step.inputs) or {}
    answer = {
        "status": _status(inputs.get("status", 200)),
        "headers": _headers(inputs.get("headers") or {}),
        "body": _body(inputs),
        **({"encoding": "base64"} if "encoding" in inputs else {}),
    }
    entry, run = attempt.completed(answer), attempt.run
    if run.claimed.trigger_kind != "webhook":
        attempt.write_log("info", "Nobody waits for an answer: no webhook started this run.")
    else:
        run.answer(attempt.output or "null")  # what is kept of it: nothing secret
    return entry


def _status(status: JSON) -> int:
    if isinstance(status, int) and not isinstance(status, bool) and 200 <= status <= 599:
        return status
    raise _bad(f"`status` is {dump(status)[:100]}, not a number from 200 to 599")


def _headers(headers: JSON) -> dict[str, str]:
    if not isinstance(headers, dict):
        raise _bad(f"`headers` is {dump(headers)[:100]}, not a mapping of names to texts")
    return {name: _value(name, value) for name, value in headers.items()}


def _value(name: str, value: JSON) -> str:
    if not _NAME.fullmatch(name):
        raise _bad(f"{name!r:.100} is not the name of a header")
    if name.lower() in _OF_THE_CONNECTION:
        raise _bad(f"the header {name} is the server's to set")
    if name.lower() in _OF_THE_CONSOLE:
        raise _bad(f"the header {name} would speak for the whole host, which the console is on")
    if name.lower().startswith(_OF_PROXIES):
        raise _bad(f"the header {name} tells proxies which of their files to send")
    text = value if isinstance(value, str) else dump(value)
    if not _VALUE.fullmatch(text):
        raise _bad(f"the value of the header {name} holds characters that a header cannot have")
    return text


def _body(inputs: dict[str, Any]) -> JSON:
    body = inputs.get("body")
    if "encoding" in inputs:
        try:
            base64.b64decode(body if isinstance(body, str) else "!", validate=True)
        except (binascii.Error, ValueError):
            raise _bad("`body` is not Base64, as its `encoding` says") from None
    return body


def _bad(message: str) -> NodeError:
    hint = "Look at what its expressions give."
    return NodeError("bad_answer", f"This cannot be answered: {message}.", hint=hint, retryable=False)
