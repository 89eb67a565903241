"""`email`: a message, handed to a mail server."""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Callable, Mapping
from io import BufferedReader
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.dialer import Dialer
from runner.nodes.found import Found
from runner.nodes.interruption import Interruption, Severing, reason_of
from runner.nodes.message import Letter
from runner.nodes.watched import CancelledError, DeadlinePassedError, Watch
from schemas.connection import ConnectionType
from schemas.pattern import JSON

_PORTS = {"smtp": 587, "smtps": 465}
_MOST_SAID = 1024 * 1024  # bytes, of one conversation
_PARTING = 1.0  # seconds
_NO_CREDENTIALS = (530, 534, 535, 538)

T = TypeVar("T")


class EmailNode:
    """Takes `{connection, to, cc, bcc, replyTo, from, subject, text, html, attachments}`, gives `{messageId}`.

    For any number of threads; make it after forking.
    """

    def __init__(self) -> None:
        self._dialer = Dialer()

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON:
        spec = context.connections.get(str(inputs["connection"]), ConnectionType.SMTP)
        letter = Letter.read(inputs, spec.get("from"), context.idempotency_key)
        self._speak(context, spec, lambda client: _hand_over(client, letter))
        return {"messageId": letter.id}

    def probe(self, context: NodeContext, name: str) -> Found:
        """Everything but a message."""
        spec = context.connections.get(name, ConnectionType.SMTP)
        return self._speak(context, spec, _look)

    def close(self) -> None:
        self._dialer.close()

    def _speak(self, context: NodeContext, spec: Mapping[str, JSON], say: Callable[[_Client], T]) -> T:
        watch = Watch.start("no answer of the mail server", context.remaining(), context.cancelled)
        try:
            with watch.over():
                return self._converse(spec, say, context.network, watch)
        except DeadlinePassedError as error:
            raise NodeError("timeout", f"{spec['name']}: {error}") from None
        except CancelledError:
            raise NodeError("cancelled", f"{spec['name']}: given up with its run", retryable=False) from None
        except NodeError as error:
            raise NodeError(
                error.type, f"{spec['name']}: {error.message}", hint=error.hint, retryable=error.retryable
            ) from None

    def _converse(
        self, spec: Mapping[str, JSON], say: Callable[[_Client], T], allow: tuple[str, ...], watch: Watch
    ) -> T:
        parts = urlsplit(spec["url"])
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        connection = self._dialer.connect(host, port, allow)
        with connection, Severing(connection) as cut, Interruption(watch, cut) as interruption:
            try:
                return _converse(connection, host, spec, say)
            except (smtplib.SMTPException, OSError, ValueError) as error:
                raise interruption.reason or reason_of(watch) or _fault(error, f"{host}:{port}") from None


def _converse(
    connection: socket.socket, host: str, spec: Mapping[str, JSON], say: Callable[[_Client], T]
) -> T:
    """Everything that is said to the server, until it has taken what `say` says. Raises what smtplib raises."""
    parts = urlsplit(spec["url"])
    trusted = ssl.create_default_context()
    if parts.scheme == "smtps":
        connection = trusted.wrap_socket(connection, server_hostname=host)
    with _Client(connection, host) as client:
        client.greet()
        if parts.scheme == "smtp" and spec.get("starttls", True):
            client.starttls(context=trusted)
        client.ehlo_or_helo_if_needed()
        user = spec.get("user", unquote(parts.username) if parts.username else None)
        if user is not None:
            client.login(user, spec.get("password", ""))
        result = say(client)
        client.leave()
        return result


def _look(client: _Client) -> Found:
    _expect(client.noop(), "NOOP")
    tls = client.sock.version() if isinstance(client.sock, ssl.SSLSocket) else None
    return Found(address=client.address, server=client.greeting, tls=tls)


def _hand_over(client: _Client, letter: Letter) -> None:
    """To everybody or to nobody: where one recipient is refused, nothing is sent."""
    options = []
    if letter.international:
        if not client.has_extn("smtputf8"):
            raise NodeError(
                "email_rejected",
                "an address has letters beyond ASCII, which the mail server does not take",
                retryable=False,
            )
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.command_encoding = "utf-8"
    _expect(client.mail(letter.sender, options), f"from {letter.sender}")
    for recipient in letter.recipients:
        _expect(client.rcpt(recipient), f"to {recipient}")
    _expect(client.data(letter.content), "the message")


class _Client(smtplib.SMTP):
    """On a connection that is there already."""

    def __init__(self, connection: socket.socket, host: str) -> None:
        super().__init__(local_hostname="weft")
        self.sock = connection
        self._host = host  # what starttls checks the certificate for
        self.address = f"{host}:{connection.getpeername()[1]}"
        self.greeting = ""

    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Heard(self.sock.makefile("rb"))
        return super().getreply()

    def greet(self) -> None:
        """What `connect` does once it has a connection."""
        answer = self.getreply()
        _expect(answer, "a connection")
        self.greeting = _printable(answer[1])
        self.ehlo_or_helo_if_needed()

    def __exit__(self, *_: object) -> None:
        """Without QUIT: `leave` says it where all went well."""
        self.close()

    def leave(self) -> None:
        """The message is taken: whatever the server still says, or does not say, changes nothing of that."""
        with contextlib.suppress(smtplib.SMTPException, OSError):
            if self.sock is not None:
                self.sock.settimeout(_PARTING)
            self.docmd("QUIT")


class _Heard:
    """What a server says, of which there is an end: an answer may have any number of lines."""

    def __init__(self, source: BufferedReader) -> None:
        self._source = source
        self._left = _MOST_SAID

    def readline(self, size: int) -> bytes:
        line = self._source.readline(size)
        self._left -= len(line)
        if self._left < 0:
            raise smtplib.SMTPServerDisconnected("the server does not stop talking")
        return line

    def close(self) -> None:
        self._source.close()


def _expect(answer: tuple[int, bytes], what: str) -> None:
    code, text = answer
    if not 200 <= code < 300:
        raise smtplib.SMTPResponseException(code, f"{what}: {code} {_printable(text)}")


def _fault(error: BaseException, server: str) -> NodeError:
    if isinstance(error, ssl.SSLError):
        reason = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        trust = isinstance(error, ssl.SSLCertVerificationError)
        hint = "Check its certificate; SSL_CERT_FILE names other authorities to trust." if trust else ""
        return NodeError(
            "tls", f"{server}: no trusted TLS connection: {reason}", hint=hint, retryable=not trust
        )
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return NodeError(
            "tls" if "STARTTLS" in str(error) else "email_rejected", f"{server}: {error}", retryable=False
        )
    if isinstance(error, smtplib.SMTPServerDisconnected) or (
        isinstance(error, OSError) and not isinstance(error, smtplib.SMTPException)
    ):
        return NodeError("connection", f"{server}: the connection was lost")
    if isinstance(error, smtplib.SMTPResponseException):
        return _refused(error.smtp_code, _printable(error.smtp_error), server)
    return NodeError("email_rejected", f"{server}: {error}", retryable=False)


def _refused(code: int, text: str, server: str) -> NodeError:
    hint = "Check the user and the password of the connection." if code in _NO_CREDENTIALS else ""
    if 400 <= code < 500:
        return NodeError("email_deferred", f"{server}: {text}", hint=hint)
    if code < 0:
        return NodeError("connection", f"{server}: {text}")
    return NodeError("email_rejected", f"{server}: {text}", hint=hint, retryable=False)


def _printable(text: bytes | str) -> str:
    read = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return "".join(char if char.isprintable() else " " for char in read)[:300]
