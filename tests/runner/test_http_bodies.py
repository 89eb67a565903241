"""What an `http` node sends as a body, and how bytes come and go."""

from __future__ import annotations

import base64
import email.parser
import email.policy
from email.message import EmailMessage
from typing import Any

import pytest
from http_site import Sender, Site, text_answer

PICTURE = bytes(range(256))


def parts_of(seen: dict[str, Any]) -> list[EmailMessage]:
    """As a parser that is not ours reads them."""
    head = f"Content-Type: {seen['headers']['content-type']}\r\n\r\n".encode()
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(head + base64.b64decode(seen["base64"]))
    assert isinstance(message, EmailMessage)
    assert not message.defects
    return [part for part in message.iter_parts() if isinstance(part, EmailMessage)]


def test_a_multipart_body_has_fields_and_files(send: Sender, site: Site) -> None:
    seen = send(
        site.url,
        method="POST",
        multipart={
            "note": "grüße\r\n--x",
            "count": 3,
            "left": None,
            "tag": ["a", "b"],
            "table": {"filename": "table.csv", "contentType": "text/csv", "content": "a,b\r\n1,2\r\n"},
            "picture": {"filename": 'a "new" one.png', "base64": base64.b64encode(PICTURE).decode()},
            "order": {"contentType": "application/json", "content": "{}"},
        },
    )["body"]
    parts = parts_of(seen)
    names = [part.get_param("name", header="content-disposition") for part in parts]
    assert names == ["note", "count", "tag", "tag", "table", "picture", "order"]
    contents = [part.get_payload(decode=True) for part in parts]
    assert contents[0] == "grüße\r\n--x".encode()
    assert contents[1:4] == [b"3", b"a", b"b"]
    assert contents[4:] == [b"a,b\r\n1,2\r\n", PICTURE, b"{}"]
    assert [part.get_filename() for part in parts[4:]] == ["table.csv", "a %22new%22 one.png", None]
    assert [part["content-type"] for part in parts[4:]] == [
        "text/csv",
        "application/octet-stream",
        "application/json",
    ]


def test_every_attempt_sends_the_same_bytes(send: Sender, site: Site) -> None:
    first, second = (send(site.url, method="POST", multipart={"a": "1"})["body"] for _ in range(2))
    assert first["base64"] == second["base64"]
    assert first["headers"]["content-type"] == second["headers"]["content-type"]


def test_names_of_parts_cannot_break_out_of_their_header(send: Sender, site: Site) -> None:
    evil = 'a"\r\nX-Evil: 1\r\n\r\n'
    seen = send(site.url, method="POST", multipart={evil: {"filename": evil, "content": "x"}})["body"]
    [part] = parts_of(seen)
    assert part["x-evil"] is None
    assert part.get_payload(decode=True) == b"x"


def test_bytes_are_sent_as_they_came(send: Sender, site: Site) -> None:
    site.answers["/picture"] = text_answer(PICTURE, "image/png")
    body = send(f"{site.url}/picture")["body"]
    assert body == {"base64": base64.b64encode(PICTURE).decode()}
    seen = send(f"{site.url}/copy", method="PUT", body=body)["body"]
    assert seen["base64"] == body["base64"]
    assert seen["headers"]["content-type"] == "application/octet-stream"
    assert seen["headers"]["content-length"] == "256"


def test_no_body_is_sent_for_null(send: Sender, site: Site) -> None:
    seen = send(site.url, method="POST", body=None, form=None)["body"]
    assert (seen["body"], seen["headers"]["content-length"]) == ("", "0")
    assert "content-type" not in seen["headers"]


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"json": 1, "multipart": {}}, "takes only one of `json` and `multipart`"),
        ({"body": {"base64": "?"}}, "`base64` of `body` is not base64"),
        ({"body": {"base64": "QQ"}}, "`base64` of `body` is not base64"),
        ({"body": {"base64": "ä"}}, "`base64` of `body` is not base64"),
        ({"body": {"bytes": "QQ=="}}, "`body` takes no 'bytes', only base64"),
        ({"body": ["a"]}, "`body` must be text or a number, not list"),
        ({"multipart": "a"}, "`multipart` must be a mapping"),
        (
            {"multipart": {"a": {"filename": "x"}}},
            "'a' in `multipart` must be text or a number, not NoneType",
        ),
        ({"multipart": {"a": {"content": "x", "base64": "eA=="}}}, "only one of `content` and `base64`"),
        ({"multipart": {"a": {"content": "x", "contentType": "a\r\nb"}}}, "no header can hold"),
        ({"multipart": {"a": {"path": "/etc/passwd"}}}, "takes no 'path'"),
        ({"form": [1]}, "`form` must be a mapping"),
    ],
)
def test_what_is_no_body_is_refused(send: Sender, inputs: dict[str, Any], reason: str) -> None:
    error = send.error("http://example.com/", method="POST", **inputs)
    assert (error.type, error.retryable) == ("bad_request", False)
    assert reason in error.message
