"""What is known of a run's nodes."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Final

from schemas.pattern import JSON
from store.spans import SpanStatus

FOREVER: Final = float("inf")


@dataclass(slots=True)
class Entry:
    """What the journal knows of one node.

    RUNNING of a container has a `state`: what it decided when it was entered. RUNNING of any other node is being
    worked on in this process. WAITING has a timer (`wake`), a called run (`child`, and `child_status` once that
    has ended, with its output and error) or awaits what people post to the run (`poked`: there is something new);
    with an `error`, the timer is that of another attempt. `started`: seconds since the epoch.
    """

    status: SpanStatus
    attempt: int = 1
    output: JSON = None
    error: JSON = None
    wake: float | None = None
    child: str | None = None
    child_status: str | None = None
    state: dict[str, JSON] | None = None
    started: float | None = None
    poked: bool = False


Journal = MutableMapping[str, Entry]


def output_of(entry: Entry | None) -> JSON:
    """What `nodes.<id>` is once the node is settled: a failure that was let pass is `{"error": …}`."""
    if entry is None:
        return None
    return {"error": entry.error} if entry.status is SpanStatus.FAILED else entry.output
