"""Why a request to the Git server ends before it is served."""

from __future__ import annotations

UNREADABLE = "Git cannot read this repository; the server's log says why."


class RequestError(Exception):
    """An HTTP status and a text for the one at the keyboard. Git shows the text behind `remote:`."""

    def __init__(self, status: int, text: str, *, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class ClientGoneError(Exception):
    """The connection ended before the request did: there is nobody to answer."""


class BodyTooLargeError(Exception):
    """The request has more bytes than it may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit >> 20} MiB")
        self.limit = limit
