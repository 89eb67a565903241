"""The `email` node against a server that speaks SMTP, good and bad."""

from __future__ import annotations

import base64
import email
import email.policy
import socket
import threading
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from certificates import own_certificate, server_tls
from http_site import raw_server
from mail_server import MailServer, mail_server
from node_contexts import GivenConnections, node_context

from runner.nodes.base import NodeError
from runner.nodes.email import EmailNode
from schemas.errors import ERROR_TYPES, is_a


class Sender:
    """Sends through `server`; keys of the connection come as `spec`, those of the context as `around`."""

    def __init__(self, node: EmailNode) -> None:
        self.node = node

    def __call__(
        self,
        server: MailServer,
        *,
        spec: dict[str, Any] | None = None,
        around: dict[str, Any] | None = None,
        **inputs: Any,
    ) -> Any:
        url = f"{'smtps' if server.implicit else 'smtp'}://localhost:{server.port}"
        mail = {
            "type": "smtp",
            "url": url,
            "starttls": False,
            "from": "Shop <shop@example.com>",
            **(spec or {}),
        }
        connections = GivenConnections({"mail": mail, "web": {"type": "http", "url": "http://localhost"}})
        usual = {"connection": "mail", "to": "ada@example.com", "subject": "Hello", "text": "Hi."}
        given = {key: value for key, value in {**usual, **inputs}.items() if value is not None}
        return self.node(node_context(connections, **(around or {})), given)

    def error(self, server: MailServer, **inputs: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(server, **inputs)
        assert caught.value.type in ERROR_TYPES
        return caught.value


@pytest.fixture
def send() -> Iterator[Sender]:
    node = EmailNode()
    yield Sender(node)
    node.close()


@pytest.fixture
def server() -> Iterator[MailServer]:
    with mail_server() as made:
        yield made


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return own_certificate(tmp_path_factory.mktemp("tls"))


def read(server: MailServer, at: int = -1) -> EmailMessage:
    parsed = email.message_from_bytes(server.received[at].content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


# What is sent


def test_a_message_arrives_as_it_was_written(send: Sender, server: MailServer) -> None:
    given = send(
        server,
        to=["Ada Löve <ada@example.com>", "bob@bücher.example"],
        cc="carol@example.com",
        bcc=["dan@example.com", "ada@example.com"],
        replyTo='"Desk, help" <help@example.com>',
        subject="Größe ✓",
        text="Zeile eins\n.\nZeile drei",
    )
    message, received = read(server), server.received[0]
    assert given == {"messageId": message["Message-ID"]}
    assert received.sender == "shop@example.com"
    assert received.recipients == [
        "ada@example.com",
        "bob@xn--bcher-kva.example",
        "carol@example.com",
        "dan@example.com",
    ]
    assert message["From"] == "Shop <shop@example.com>"
    assert message["To"] == "Ada Löve <ada@example.com>, bob@xn--bcher-kva.example"
    assert (message["Cc"], message["Bcc"]) == ("carol@example.com", None)
    assert message["Reply-To"] == '"Desk, help" <help@example.com>'
    assert message["Subject"] == "Größe ✓"
    assert message.get_content() == "Zeile eins\r\n.\r\nZeile drei\r\n"
    assert b"dan@example.com" not in received.content
    assert received.content.isascii()


def test_html_stands_beside_the_text_and_files_are_attached(send: Sender, server: MailServer) -> None:
    send(
        server,
        html="<p>Hi</p>",
        attachments=[
            {"name": "orders.csv", "text": "id\n1\nä"},
            {"name": "größe.bin", "base64": base64.b64encode(bytes(range(256))).decode()},
            {"name": "x", "type": "application/x-own", "text": ""},
        ],
    )
    message = read(server)
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert (plain.get_content(), html.get_content()) == ("Hi.\r\n", "<p>Hi</p>\r\n")
    files = list(message.iter_attachments())
    assert [file.get_filename() for file in files] == ["orders.csv", "größe.bin", "x"]
    assert [file.get_content_type() for file in files] == [
        "text/csv",
        "application/octet-stream",
        "application/x-own",
    ]
    assert files[0].get_content() == "id\n1\nä"
    assert files[1].get_content() == bytes(range(256))


def test_every_attempt_has_the_same_message_id_and_every_node_another(
    send: Sender, server: MailServer
) -> None:
    ids = [send(server, around={"key": key})["messageId"] for key in ("r/a", "r/a", "r/b")]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].endswith("@example.com>")


def test_letters_beyond_ascii_in_an_address_need_a_server_that_takes_them(send: Sender) -> None:
    with mail_server() as server:
        send(server, to="jürgen@example.com")
        assert server.received[0].recipients == ["jürgen@example.com"]
    with mail_server(offers=[]) as server:
        error = send.error(server, to="jürgen@example.com")
        assert (error.type, error.retryable) == ("email_rejected", False)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"subject": "Hi\r\nBcc: eve@example.com"}, "line break"),
        ({"subject": "Hi\nX: 1"}, "line break"),
        ({"to": "ada@example.com\r\nBcc: eve@example.com"}, "line break"),
        ({"to": "Ada\r\nBcc: eve@example.com <ada@example.com>"}, "line break"),
        ({"from": "a@example.com\nX: 1"}, "line break"),
        ({"attachments": [{"name": "a\r\nX: 1", "text": ""}]}, "line break"),
        ({"attachments": [{"name": "a", "text": "", "type": "text/plain\r\nX: 1"}]}, "media type"),
        ({"attachments": [{"name": "a", "text": "", "type": "multipart/mixed"}]}, "cannot be of type"),
        ({"attachments": [{"name": "a", "base64": "%%"}]}, "not Base64"),
        ({"attachments": [{"name": "a"}]}, "either `text` or `base64`"),
        ({"to": "ada@example.com, eve@example.com"}, "no address"),
        ({"to": "ada@example.com>\0"}, "line break"),
        ({"to": "ada"}, "no address"),
        ({"to": "a b@example.com"}, "no address"),
        ({"to": "ada@exa mple.com"}, "no address"),
        ({"to": []}, "`to` is empty"),
        ({"to": 7}, "must be text, not int"),
        ({"to": [f"u{n}@example.com" for n in range(101)]}, "101 recipients"),
        ({"text": None}, "neither `text` nor `html`"),
        ({"spec": {"from": None}}, "there is no sender"),
    ],
)
def test_what_is_no_message_is_refused_before_anything_is_sent(
    send: Sender, server: MailServer, inputs: dict[str, Any], reason: str
) -> None:
    error = send.error(server, **inputs)
    assert (error.type, error.retryable) == ("bad_email", False)
    assert reason in error.message
    assert server.said == []


# Who may send


def test_starttls_comes_before_user_and_password(
    send: Sender, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    spec = {"starttls": True, "user": "shop", "password": "s3cret"}
    with mail_server(tls=server_tls(certificate), accounts={"shop": "s3cret"}) as server:
        send(server, spec=spec)
        assert (server.received[0].user, server.received[0].encrypted) == ("shop", True)
        verbs = [line.split(" ")[0] for line in server.said]
        assert verbs.index("STARTTLS") < verbs.index("AUTH")


def test_tls_from_the_first_byte(send: Sender, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with mail_server(tls=server_tls(certificate), implicit=True) as server:
        send(server)
        assert server.received[0].encrypted


def test_a_certificate_that_nobody_trusts_gets_neither_password_nor_message(
    send: Sender, certificate: Path
) -> None:
    for implicit in (False, True):
        with mail_server(tls=server_tls(certificate), implicit=implicit, accounts={"shop": "x"}) as server:
            error = send.error(server, spec={"starttls": True, "user": "shop", "password": "x"})
            assert (error.type, error.retryable) == ("tls", False)
            assert "self-signed certificate" in error.message
            assert not [line for line in server.said if line.startswith(("AUTH", "MAIL"))]


def test_starttls_is_not_left_out_where_the_server_does_not_offer_it(
    send: Sender, server: MailServer
) -> None:
    error = send.error(server, spec={"starttls": True})
    assert error.type == "tls"
    assert server.received == []


def test_a_wrong_password_is_no_reason_to_try_again_and_is_not_told(send: Sender) -> None:
    with mail_server(accounts={"shop": "right"}) as server:
        error = send.error(server, spec={"user": "shop", "password": "hunter2"})
    assert (error.type, error.retryable) == ("email_rejected", False)
    assert "535" in error.message or "wrong user" in error.message
    assert "password" in error.hint
    assert "hunter2" not in f"{error.message}{error.hint}"


# How it fails


@pytest.mark.parametrize("command", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "TAKEN"])
@pytest.mark.parametrize(
    ("answer", "type_", "retryable"),
    [
        ("451 4.3.0 later", "email_deferred", True),
        ("554 5.7.1 never", "email_rejected", False),
        ("", "connection", True),
    ],
)
def test_a_refusal_is_for_now_or_for_good(
    send: Sender, command: str, answer: str, type_: str, retryable: bool
) -> None:
    answers = {command: answer} | ({"HELO": answer} if command == "EHLO" else {})
    with mail_server(answers=answers) as server:
        error = send.error(server)
        assert (error.type, error.retryable) == (type_, retryable), error.message
        assert error.message.startswith("mail: localhost:")
        if answer:
            assert answer[4:] in error.message


def test_nobody_gets_a_message_that_one_recipient_is_refused_for(send: Sender) -> None:
    with mail_server(answers={"RCPT TO:<bob@": "550 no such user"}) as server:
        error = send.error(server, to=["ada@example.com", "bob@example.com"])
        assert error.message.endswith("to bob@example.com: 550 no such user")
        assert server.received == []


def test_what_was_taken_is_sent_whatever_comes_after(send: Sender) -> None:
    for answer in ("", "500 what", "…"):
        with mail_server(answers={"QUIT": answer}) as server:
            started = time.monotonic()
            assert send(server)["messageId"]
            assert time.monotonic() - started < 3


def test_a_server_that_stalls_is_a_timeout(send: Sender) -> None:
    for command in ("CONNECT", "EHLO", "DATA"):
        with mail_server(answers={command: "…"}) as server:
            started = time.monotonic()
            error = send.error(server, around={"timeout": 0.3})
            assert (error.type, error.retryable) == ("timeout", True)
            assert time.monotonic() - started < 1


def test_a_server_that_does_not_stop_talking_is_let_go(send: Sender) -> None:
    def talk(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"220-hello\r\n" * 1000)

    with raw_server(talk) as url:
        spec = {"type": "smtp", "url": url.replace("http", "smtp"), "from": "shop@example.com"}
        inputs = {"connection": "mail", "to": "ada@example.com", "subject": "Hello", "text": "Hi."}
        with pytest.raises(NodeError) as caught:
            send.node(node_context(GivenConnections({"mail": spec}), timeout=4), inputs)
    assert caught.value.type == "connection"


def test_a_cancelled_run_lets_go_of_a_server_that_stalls(send: Sender) -> None:
    cancelled = threading.Event()
    with mail_server(answers={"RCPT": "…"}) as server:
        threading.Timer(0.2, cancelled.set).start()
        started = time.monotonic()
        error = send.error(server, around={"cancelled": cancelled})
        assert error.type == "cancelled"
        assert time.monotonic() - started < 1


def test_a_private_address_has_to_be_allowed(send: Sender, server: MailServer) -> None:
    error = send.error(server, around={"allow": ()})
    assert (error.type, error.retryable) == ("blocked_address", False)
    send(server, around={"allow": (f"localhost:{server.port}",)})


def test_nobody_who_listens_is_a_lost_connection(send: Sender) -> None:
    with mail_server() as server:
        pass
    error = send.error(server)
    assert (error.type, error.retryable) == ("connection", True)
    assert is_a(error.type, ["network"])


def test_a_connection_of_another_type_cannot_send(send: Sender, server: MailServer) -> None:
    assert send.error(server, connection="web").type == "wrong_connection_type"
    assert send.error(server, connection="nobody").type == "unknown_connection"
