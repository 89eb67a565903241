"""What passes between those who require that tests pass and those who run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Material:
    """Tests by name, and the files that they need: `documents` that hold tests and patterns, `assets` of these.

    Both are bytes by their path from the root.
    """

    tests: tuple[str, ...]
    documents: Mapping[str, bytes]
    assets: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A case that does not pass, the place where it stands, and why."""

    test: str
    path: str
    line: int
    column: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """What became of them. `unfinished` says why not all cases have come to their end."""

    failures: tuple[Failure, ...] = ()
    unfinished: str | None = None


Examine = Callable[[Material], Report]
"""Runs tests, in a time that is limited. Raises nothing for whatever they do."""
