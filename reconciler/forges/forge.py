"""What Weft needs of a forge, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

CONTEXT = "weft/plan"
LONGEST_DESCRIPTION = 140  # characters; GitHub's limit is the lowest


class Status(StrEnum):
    PENDING = "pending"
    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"  # there is no answer


@dataclass(frozen=True, kw_only=True)
class Found:
    """A pull request as the forge has it now. `head` is a commit, `base` a branch's short name."""

    is_open: bool
    head: str
    base: str


@dataclass(frozen=True, kw_only=True)
class Comment:
    """`author` is None where the forge does not tell. `url` is for people; None where the forge gives none."""

    id: str
    author: str | None
    text: str
    url: str | None = None


class Forge(Protocol):
    """One repository at a forge. Every method raises TryLaterError or RefusedError."""

    def pull_request(self, number: int) -> Found: ...

    def open_ones(self) -> Iterator[tuple[int, str]]:
        """Number and head of every pull request that is open."""

    def head_ref(self, number: int) -> str:
        """Where Git finds its head."""

    def myself(self) -> str | None:
        """As whom the token comments; None where the forge does not tell."""

    def comments(self, number: int) -> Iterator[Comment]:
        """Oldest first."""

    def add_comment(self, number: int, text: str) -> Comment: ...

    def edit_comment(self, number: int, comment: str, text: str) -> Comment: ...

    def set_status(self, commit: str, status: Status, description: str, url: str | None) -> None: ...


def shortened(description: str) -> str:
    if len(description) <= LONGEST_DESCRIPTION:
        return description
    return description[: LONGEST_DESCRIPTION - 1].rstrip() + "…"
