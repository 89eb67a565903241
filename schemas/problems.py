"""What is wrong with a file, as data: never raised, always all of them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, order=True)
class Problem:
    """One mistake in one place. Sorts by place, so that output repeats exactly.

    `line` and `column` count from 1. `code` is stable and documented in `docs/problems.md`;
    `message` says what is wrong, `hint` what to do about it.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message} [{self.code}] {self.hint}"
