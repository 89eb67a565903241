"""A run's events, from the first to the last, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cli.client import BusyError, Server, UnreachableError
from schemas.pattern import JSON

PATIENCE = 60.0
"""Seconds for which a server that is away, or too busy, is asked again."""

PAUSE = 1.0
"""Seconds between two attempts to reach it."""


class Event(NamedTuple):
    """`event` is run, node, log or end; docs/api.md says what `data` holds."""

    event: str
    data: JSON
    id: str | None


def run_events(server: Server, run: str) -> Iterator[Event]:
    """Until the run's end. Cut off, it goes on behind the last event. Raises CommandError."""
    after: str | None = None
    reached = time.monotonic()
    while True:
        try:
            with server.stream("runs", run, "events", after=after) as lines:
                for event in parsed(lines):
                    reached = time.monotonic()
                    after = event.id or after
                    yield event
                    if event.event == "end":
                        return
        except (UnreachableError, BusyError):
            if time.monotonic() - reached > PATIENCE:
                raise
        time.sleep(PAUSE)


def parsed(lines: Iterable[str]) -> Iterator[Event]:
    """Server-Sent Events. One that is not whole is none."""
    fields: dict[str, str] = {}
    for line in lines:
        if not line:
            if "data" in fields:
                yield Event(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
