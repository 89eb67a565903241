"""Calling webhooks, as their callers do."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from typing import Any

from installation import Installation

JSON = {"content-type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: Message
    text: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def run(self) -> str:
        assert self.status == 202, (self.status, self.text)
        return str(self.json["run"]["id"])


def received(connection: http.client.HTTPConnection) -> Answer:
    response = connection.getresponse()
    return Answer(response.status, response.headers, response.read())


def call(
    weft: Installation,
    url: str,
    body: bytes | str | None = None,
    headers: Mapping[str, str] = JSON,
    *,
    method: str = "POST",
    seconds: float = 30,
) -> Answer:
    connection = http.client.HTTPConnection(weft.address, timeout=seconds)
    with closing(connection):
        content = body.encode() if isinstance(body, str) else body
        connection.request(method, url, content, dict(headers))
        return received(connection)
