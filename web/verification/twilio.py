"""Twilio: HMAC-SHA1 over the address called and the form's fields, sorted by name.

https://www.twilio.com/docs/usage/security#validating-requests. A JSON body is signed through `bodySHA256` in the
address, as https://www.twilio.com/docs/usage/webhooks/webhooks-security has it. Like its own libraries we take the
address with and without its port.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from web.verification.call import Reason, SignedCall, Unverified, only

_SHOWN: Final = "X-Twilio-Signature"
_FORM: Final = b"application/x-www-form-urlencoded"
_BODY_HASH: Final = "bodySHA256"
_MOST_FIELDS: Final = 1000
_PORTS: Final = {"https": 443, "http": 80}


class TwilioCheck:
    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = tuple(keys)

    def __call__(self, call: SignedCall, _now: float) -> None:
        given = only(call, b"x-twilio-signature", _SHOWN)
        fields = _fields(call)
        for url in dict.fromkeys(spelling for written in call.urls for spelling in _spellings(written)):
            signed = url.encode("utf-8", "surrogateescape") + fields
            for key in self._keys:
                if hmac.compare_digest(given, b64encode(hmac.digest(key, signed, "sha1"))):
                    return
        raise Unverified(
            Reason.WRONG,
            f"{_SHOWN} is not that of this call with the secret that is set here. Twilio signs the address as it"
            " knows it: WEFT_PUBLIC_URL has to be what is set there.",
        )


def _fields(call: SignedCall) -> bytes:
    """What is signed behind the address. Raises Unverified where the body is not signed at all."""
    body_hash = _body_hash(call)
    if body_hash is not None:
        actual = hashlib.sha256(call.body).hexdigest()
        if not hmac.compare_digest(actual.encode(), body_hash.encode("utf-8", "replace")):
            raise Unverified(Reason.WRONG, f"The body is not the one that {_BODY_HASH} in the address is of.")
        return b""
    if not call.body:
        return b""
    kinds = [value for name, value in call.headers if name == b"content-type"]
    if len(kinds) != 1 or kinds[0].partition(b";")[0].strip().lower() != _FORM:
        raise Unverified(
            Reason.MISSING, f"The body is neither a form nor signed by {_BODY_HASH} in the address."
        )
    return _form(call.body)


def _body_hash(call: SignedCall) -> str | None:
    """The query is the same in every one of the addresses."""
    query = call.urls[0].partition("?")[2] if call.urls else ""
    if _BODY_HASH not in query:
        return None
    found = [value for name, value in _pairs(query) if name == _BODY_HASH]
    if len(found) > 1:
        raise Unverified(Reason.REPEATED, f"{_BODY_HASH} stands {len(found)} times in the address.")
    return found[0] if found else None


def _form(body: bytes) -> bytes:
    """Names and values in the order of the names, nothing between them; what is there twice counts once."""
    pairs = sorted(set(_pairs(body.decode("utf-8", "surrogateescape"), strict=True)))
    return "".join(name + value for name, value in pairs).encode("utf-8", "surrogateescape")


def _pairs(text: str, *, strict: bool = False) -> list[tuple[str, str]]:
    """`strict`: every field has its `=`, as Twilio writes them; without, name and value would run together."""
    try:
        return parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=strict,
            errors="surrogateescape",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError:
        raise Unverified(
            Reason.MALFORMED, f"The body is no form of at most {_MOST_FIELDS} fields, name=value&…."
        ) from None


def _spellings(url: str) -> Iterator[str]:
    """As it is written, and with or without its port."""
    yield url
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return
    if not parts.netloc:
        return
    behind = url.partition(parts.netloc)[2]
    standard = _PORTS.get(parts.scheme)
    if port is not None:
        yield f"{parts.scheme}://{parts.netloc.rpartition(':')[0]}{behind}"
    elif standard is not None:
        yield f"{parts.scheme}://{parts.netloc}:{standard}{behind}"
