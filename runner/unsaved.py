"""What of a run is not durable yet: all of it is written with the run's next step."""

from __future__ import annotations

from typing import Final

from store.journal import ChildRun
from store.secret_uses import SecretUse
from store.spans import Span

MOST: Final = 500
"""Spans of one run that wait to be written, at most, though nothing hurries."""

LARGEST: Final = 4 * 1024 * 1024
"""The same in characters of JSON."""


class Unsaved:
    """`consumed` are ids of events, with the paths of the nodes that took them, `orphans` called runs that nobody
    waits for any more, `answer` is for the caller who waits at a webhook.
    """

    __slots__ = ("_size", "answer", "children", "consumed", "orphans", "spans", "uses")

    def __init__(self) -> None:
        self.spans: dict[str, Span] = {}  # by path
        self._size = 0
        self.children: list[ChildRun] = []
        self.consumed: list[tuple[int, str]] = []
        self.orphans: list[str] = []
        self.answer: str | None = None
        self.uses: list[SecretUse] = []

    def add(self, span: Span) -> None:
        self.spans[span.path] = span
        self._size += len(span.output or "")

    def __bool__(self) -> bool:
        return bool(self.spans or self.children or self.consumed or self.orphans or self.uses)

    @property
    def hurries(self) -> bool:
        """Whether there is more than should be kept, or somebody waits for it."""
        return len(self.spans) >= MOST or self._size >= LARGEST or self.answer is not None

    @property
    def concerns_others(self) -> bool:
        """Whether it starts, or ends, other runs."""
        return bool(self.children or self.orphans)
