"""A mail server that speaks SMTP (RFC 5321) with STARTTLS and AUTH, and refuses, stalls or hangs up on demand."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Received:
    sender: str
    recipients: list[str]
    content: bytes
    user: str | None
    encrypted: bool


@dataclass
class MailServer:
    """`answers`: the beginning of a command (`RCPT TO:<bob@`) → what is answered instead of "yes".

    An answer of "" hangs up, one of "…" never comes. `accounts`: user → password. `said`: every command.
    """

    tls: ssl.SSLContext | None = None
    implicit: bool = False  # TLS from the first byte
    accounts: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    offers: list[str] = field(default_factory=lambda: ["SMTPUTF8", "8BITMIME"])
    received: list[Received] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    port: int = 0

    def start(self) -> None:
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with suppress(OSError, EOFError), _Conversation(self, connection) as conversation:
                conversation.hold()

    @property
    def closed(self) -> threading.Event:
        return self._closed


class _Conversation:
    def __init__(self, server: MailServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        if server.implicit:
            assert server.tls is not None
            self.connection = server.tls.wrap_socket(connection, server_side=True)
        self.file = self.connection.makefile("rb")
        self.encrypted = server.implicit
        self.user: str | None = None
        self.sender = ""
        self.recipients: list[str] = []

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self.connection.close()

    def hold(self) -> None:
        self._answer("220 mail.example ESMTP", "CONNECT")
        while True:
            line = self._line()
            self.server.said.append(line)
            verb = line.split(" ")[0]
            handler = getattr(self, f"_{verb.lower()}", None)
            if handler is None:
                self._answer("502 no such command", line)
            else:
                handler(line)
            if verb == "QUIT":
                return

    def _line(self) -> str:
        line = self.file.readline()
        if not line:
            raise EOFError
        verb, space, rest = line.decode().rstrip("\r\n").partition(" ")
        return f"{verb.upper()}{space}{rest}"

    def _answer(self, usual: str, line: str) -> bool:
        """Whether it was the usual answer."""
        found = next((text for start, text in self.server.answers.items() if line.startswith(start)), usual)
        if found == "…":
            self.server.closed.wait(30)
        if found in ("", "…"):
            raise EOFError
        self.connection.sendall(f"{found}\r\n".encode())
        return found == usual

    def _ehlo(self, line: str) -> None:
        offers = ["mail.example", *self.server.offers]
        if self.server.tls and not self.encrypted:
            offers.append("STARTTLS")
        if self.server.accounts:
            offers.append("AUTH PLAIN")
        lines = [f"250{' ' if at == len(offers) - 1 else '-'}{offer}" for at, offer in enumerate(offers)]
        self._answer("\r\n".join(lines), line)

    def _starttls(self, line: str) -> None:
        if self._answer("220 go ahead", line):
            assert self.server.tls is not None
            self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
            self.file = self.connection.makefile("rb")
            self.encrypted = True

    def _auth(self, line: str) -> None:
        if not line.startswith("AUTH PLAIN "):
            self._answer("504 only PLAIN", line)
            return
        _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
        if self.server.accounts.get(user) == password:
            self.user = user
            self._answer("235 welcome", line)
        else:
            self._answer("535 5.7.8 wrong user or password", line)

    def _mail(self, line: str) -> None:
        self.sender, self.recipients = line.partition("<")[2].partition(">")[0], []
        self._answer("250 ok", line)

    def _rcpt(self, line: str) -> None:
        if self._answer("250 ok", line):
            self.recipients.append(line.partition("<")[2].partition(">")[0])

    def _data(self, line: str) -> None:
        if not self._answer("354 go on", line):
            return
        lines = []
        while (text := self.file.readline()) != b".\r\n":
            if not text:
                raise EOFError
            lines.append(text[1:] if text.startswith(b"..") else text)
        content = b"".join(lines)
        received = Received(self.sender, self.recipients, content, self.user, self.encrypted)
        self.server.received.append(received)
        self._answer("250 taken", "TAKEN")

    def _noop(self, line: str) -> None:
        self._answer("250 ok", line)

    def _quit(self, line: str) -> None:
        self._answer("221 bye", line)


@contextmanager
def mail_server(**settings: object) -> Iterator[MailServer]:
    server = MailServer(**settings)  # type: ignore[arg-type]
    server.start()
    try:
        yield server
    finally:
        server.close()
