"""A pattern as the rest of Weft sees it: typed, frozen, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

JSON = Any
"""A JSON value as `orjson` reads it: dict, list, str, int, float, bool, None."""


class OnError(StrEnum):
    FAIL = "fail"  # the run ends badly (or an enclosing handler takes over)
    CONTINUE = "continue"  # the node's output is {"error": {...}} and the order goes on


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When to try again. `attempts` counts the first one; delays are in seconds.

    The n-th retry waits `min(delay · factor^(n-1), max_delay)`, with full jitter when `jitter`
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    `on` names the error types worth another attempt; empty means every type.
    """

    attempts: int = 1
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: bool = True
    on: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Node:
    """One step. `with_` is what the node takes, as written, with its `${{ }}` templates still text.

    For a flow node (`branch`), whose keys stand beside `uses`, `with_` holds those keys but the blocks: {"if": …}.
    `needs` is None where the list's order decides. `blocks` holds the nested lists of a flow node
    by key (`then` and `else` of a `branch`); for all other kinds it is empty.
    """

    id: str
    uses: str
    name: str | None = None
    with_: JSON = None
    needs: tuple[str, ...] | None = None
    when: str | None = None
    retry: RetryPolicy | None = None
    timeout: float | None = None  # seconds
    on_error: OnError = OnError.FAIL
    secret: bool = False
    blocks: Mapping[str, tuple[Node, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    methods: tuple[str, ...] = ("POST",)
    max_body: int = 1024 * 1024  # bytes


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Exactly one of `cron` (five fields, or six with seconds first) and `every` (seconds)."""

    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"
    input: JSON = None


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What a `Pattern` document's `spec` says."""

    name: str
    webhook: Webhook | None = None
    schedules: tuple[Schedule, ...] = ()
    callable: bool = False  # `on: {call: {}}`
    input_schema: JSON = None
    output: JSON = None  # a template, or None for the last node's output
    variables: Mapping[str, JSON] = field(default_factory=dict)
    timeout: float = 3600.0  # seconds
    retry: RetryPolicy = RetryPolicy()
    nodes: tuple[Node, ...] = ()


def pattern_from_spec(name: str, spec: Mapping[str, JSON]) -> Pattern:
    """The typed pattern of a `spec` that passed the checks (or was frozen from one that did)."""
    raise NotImplementedError
