"""What an `email` node takes, as a message and the addresses that it goes to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from runner.nodes.base import NodeError
from schemas.pattern import JSON

MOST_RECIPIENTS = 100
LARGEST = 25 * 1024 * 1024  # bytes; few servers take more

_BREAK: Final = re.compile(r"[\r\n\0]")
_NAMED: Final = re.compile(r"\s*(?P<name>.*?)\s*<(?P<address>[^<>]+)>\s*", re.DOTALL)
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_DOMAIN: Final = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9-]{1,63}"
)
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")


@dataclass(frozen=True, kw_only=True)
class Letter:
    """`sender` and `recipients` are bare addresses, the recipients those of `to`, `cc` and `bcc`, each once."""

    id: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes
    international: bool  # an address has letters that only servers with SMTPUTF8 take

    @classmethod
    def read(cls, inputs: JSON, sender: JSON, idempotency_key: str) -> Letter:
        """From a node's evaluated `with`; `sender` is the connection's. Raises NodeError `bad_email`."""
        try:
            return _letter(inputs, sender, idempotency_key)
        except (ValueError, HeaderParseError, IndexError, UnicodeError) as error:
            raise NodeError("bad_email", str(error), retryable=False) from None


def _letter(inputs: JSON, default_sender: JSON, idempotency_key: str) -> Letter:
    written = inputs.get("from", default_sender)
    if written is None:
        raise ValueError("there is no sender: give the node or its connection a `from`")
    sender = _address("from", written)
    lists = {key: _addresses(key, inputs.get(key)) for key in ("to", "cc", "bcc", "replyTo")}
    recipients = tuple(dict.fromkeys(one.addr_spec for key in ("to", "cc", "bcc") for one in lists[key]))
    if not lists["to"]:
        raise ValueError("`to` is empty")
    if len(recipients) > MOST_RECIPIENTS:
        raise ValueError(f"there are {len(recipients)} recipients; {MOST_RECIPIENTS} are allowed")
    # The same for every attempt, so that whoever gets it twice can tell.
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()[:40]
    id_ = f"<{digest}@{sender.domain}>"
    headers = {
        "From": sender,
        "To": lists["to"],
        "Cc": lists["cc"],
        "Reply-To": lists["replyTo"],
        "Subject": _line("subject", inputs.get("subject")),
        "Message-ID": id_,
        "Date": format_datetime(datetime.now(UTC)),
    }
    every = (sender.addr_spec, *recipients)
    international = not all(one.isascii() for one in every)
    message = _message(inputs, headers)
    content = message.as_bytes(policy=SMTP.clone(utf8=international, cte_type="7bit"))
    if len(content) > LARGEST:
        raise ValueError(f"the message has {len(content):,} bytes; {LARGEST:,} are allowed")
    return Letter(
        id=id_, sender=sender.addr_spec, recipients=recipients, content=content, international=international
    )


def _message(inputs: JSON, headers: Mapping[str, object]) -> EmailMessage:
    # Not every server takes more than seven bits.
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    for name, value in headers.items():
        if value:
            message[name] = value
    text, html = inputs.get("text"), inputs.get("html")
    if text is None and html is None:
        raise ValueError("there is neither `text` nor `html`")
    if text is not None:
        message.set_content(_text("text", text))
    if html is not None and text is not None:
        message.add_alternative(_text("html", html), subtype="html")
    elif html is not None:
        message.set_content(_text("html", html), subtype="html")
    attachments = inputs.get("attachments") or []
    if not isinstance(attachments, list):
        raise ValueError("`attachments` must be a list")  # noqa: TRY004 - it is what the user wrote that is wrong
    for attachment in attachments:
        _attach(message, attachment)
    return message


def _attach(message: EmailMessage, attachment: JSON) -> None:
    if not isinstance(attachment, dict) or ("text" in attachment) == ("base64" in attachment):
        raise ValueError("an attachment has a `name`, and either `text` or `base64`")
    name = _line("an attachment's `name`", attachment.get("name"))
    media_type = attachment.get("type") or mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not isinstance(media_type, str) or not _MEDIA_TYPE.fullmatch(media_type):
        raise ValueError("an attachment's `type` is a media type such as text/csv")
    maintype, _, subtype = media_type.partition("/")
    if maintype in ("message", "multipart"):
        raise ValueError(f"an attachment cannot be of type {media_type}")
    if "text" in attachment:
        content = _text("an attachment's `text`", attachment["text"]).encode()
        parameters = {"charset": "utf-8"} if maintype == "text" else {}
    else:
        content, parameters = _decoded(attachment["base64"]), {}
    message.add_attachment(content, maintype=maintype, subtype=subtype, filename=name, params=parameters)


def _decoded(value: JSON) -> bytes:
    try:
        return base64.b64decode(_text("an attachment's `base64`", value), validate=True)
    except binascii.Error:
        raise ValueError("an attachment's `base64` is not Base64") from None


def _addresses(key: str, value: JSON) -> list[Address]:
    """Of text, of a list of texts, or of nothing."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return [_address(key, one) for one in listed]


def _address(key: str, value: JSON) -> Address:
    """`ada@example.com` or `Ada <ada@example.com>`, and never several in one text."""
    text = _line(key, value)
    named = _NAMED.fullmatch(text)
    name, spec = (named["name"], named["address"]) if named else ("", text.strip())
    quoted = _QUOTED.fullmatch(name)
    name = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else name
    local, at, domain = spec.rpartition("@")
    if (
        not at
        or not local
        or not _DOMAIN.fullmatch(_ascii(domain))
        or re.search(r"[\s,;:<>()\[\]\\\"@]", local)
    ):
        raise ValueError(f"`{key}` has {text!r:.100}, which is no address such as Ada <ada@example.com>")
    return Address(display_name=name, username=local, domain=_ascii(domain))


def _ascii(domain: str) -> str:
    return domain if domain.isascii() else domain.encode("idna").decode("ascii")


def _line(key: str, value: JSON) -> str:
    text = _text(key, value)
    if _BREAK.search(text):
        raise ValueError(f"{key} has a line break, which would begin another header")
    return text


def _text(key: str, value: JSON) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text, not {type(value).__name__}")  # noqa: TRY004 - as above
    return value
