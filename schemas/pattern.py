"""A pattern as the rest of Weft sees it: typed, frozen, defaults filled in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from schemas.quantities import seconds
from schemas.schedule import Schedule, schedules_from
from schemas.webhook import Webhook, webhook_from

JSON = Any
"""A JSON value as `orjson` reads it: dict, list, str, int, float, bool, None."""


BlockKey = tuple[str, ...]
"""Where a list of nodes stands in its flow node: `("then",)`, or `("cases", "EU")`."""

BLOCKS: Final[Mapping[str, tuple[str, ...]]] = {
    "branch": ("then", "else"),
    "switch": ("cases", "default"),
    "parallel": ("branches",),
    "for-each": ("do",),
    "repeat": ("do",),
    "try": ("do", "catch", "finally"),
}
"""The keys of a flow node that hold lists of nodes, by kind."""

NAMED_BLOCKS: Final = frozenset({"cases", "branches"})
"""Those of them that hold one list for each of several names."""

FLOW_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "branch": ("if",),
    "switch": ("value",),
    "parallel": ("whenOneFails",),
    "for-each": ("items", "as", "maxParallel", "onItemError"),
    "repeat": ("while", "until", "limit", "every"),
    "try": (),
}
"""The other keys that a flow node takes beside `uses`, by kind."""


def written_blocks(node: Mapping[str, JSON]) -> Iterator[tuple[BlockKey, JSON]]:
    """The lists of nodes of a node as written, whatever shape they have."""
    uses = node.get("uses")
    for key in BLOCKS.get(uses, ()) if isinstance(uses, str) else ():
        if key in NAMED_BLOCKS and isinstance(node.get(key), dict):
            yield from (((key, str(name)), listed) for name, listed in node[key].items())
        elif key in node:
            yield (key,), node[key]


class OnError(StrEnum):
    FAIL = "fail"  # the run ends badly (or an enclosing handler takes over)
    CONTINUE = "continue"  # the node's output is {"error": {...}} and the order goes on


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """When to try again. `attempts` counts the first one; delays are in seconds.

    The n-th retry waits `min(delay · factor^(n-1), max_delay)`, with full jitter when `jitter`
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    `on` names the error types, or families of them, worth another attempt; empty means every type. `when` is
    a condition on the `error`, as written.
    """

    attempts: int = 1
    delay: float = 1.0
    factor: float = 2.0
    max_delay: float = 60.0
    jitter: bool = True
    on: tuple[str, ...] = ()
    when: str | None = None


DEFAULT_TIMEOUT: Final = 3600.0
"""Seconds that a run has where nothing says how many."""

WRITTEN_ATTEMPTS: Final = 3
"""Attempts of a `retry` that does not say how many."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """One step. `with_` is what the node takes, as written, with its `${{ }}` templates still text.

    For a flow node (`branch`), whose keys stand beside `uses`, `with_` holds those keys but the blocks:
    {"if": …}. `needs` is None where the list's order decides. `blocks` holds the nested lists of a flow node
    (`("then",)` and `("else",)` of a `branch`); for all other kinds it is empty.
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
    blocks: Mapping[BlockKey, tuple[Node, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """What a `Pattern` document's `spec` says."""

    name: str
    webhook: Webhook | None = None
    schedules: tuple[Schedule, ...] = ()
    callable: bool = False  # `on: {call: {}}`
    error_from: tuple[str, ...] = ()  # globs of the patterns whose bad ends start a run
    input_schema: JSON = None
    output: JSON = None  # a template, or None for the last node's output
    output_schema: JSON = None
    variables: Mapping[str, JSON] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT  # seconds
    retry: RetryPolicy = RetryPolicy()
    nodes: tuple[Node, ...] = ()


def pattern_from_spec(name: str, spec: Mapping[str, JSON]) -> Pattern:
    """The typed pattern of a `spec` that passed the checks (or was frozen from one that did)."""
    on = spec.get("on", {})
    return Pattern(
        name=name,
        webhook=webhook_from(on["webhook"]) if "webhook" in on else None,
        schedules=schedules_from(on.get("schedule", ())),
        callable="call" in on,
        error_from=tuple(on["error"]["from"]) if "error" in on else (),
        input_schema=spec.get("input"),
        output=spec.get("output"),
        output_schema=spec.get("outputSchema"),
        variables=spec.get("variables", {}),
        timeout=seconds(spec["timeout"]) if "timeout" in spec else DEFAULT_TIMEOUT,
        retry=retry_from(spec["retry"]) if "retry" in spec else RetryPolicy(),
        nodes=_nodes(spec["nodes"]),
    )


def retry_from(written: Mapping[str, JSON]) -> RetryPolicy:
    """The typed policy of a `retry` mapping; what it does not say has the default."""
    default = RetryPolicy()
    return RetryPolicy(
        attempts=written.get("attempts", WRITTEN_ATTEMPTS),
        delay=seconds(written["delay"]) if "delay" in written else default.delay,
        factor=float(written.get("factor", default.factor)),
        max_delay=seconds(written["maxDelay"]) if "maxDelay" in written else default.max_delay,
        jitter=written.get("jitter", default.jitter),
        on=tuple(written.get("on", ())),
        when=written.get("when"),
    )


def _nodes(listed: Iterable[Mapping[str, JSON]]) -> tuple[Node, ...]:
    return tuple(_node(one) for one in listed)


def _node(written: Mapping[str, JSON]) -> Node:
    uses = written["uses"]
    blocks = {key: _nodes(listed) for key, listed in written_blocks(written)}
    flow_keys = FLOW_KEYS.get(uses)
    return Node(
        id=written["id"],
        uses=uses,
        name=written.get("name"),
        with_={key: written[key] for key in flow_keys if key in written}
        if flow_keys
        else written.get("with"),
        needs=tuple(written["needs"]) if "needs" in written else None,
        when=written.get("when"),
        retry=retry_from(written["retry"]) if "retry" in written else None,
        timeout=seconds(written["timeout"]) if "timeout" in written else None,
        on_error=OnError(written.get("onError", OnError.FAIL)),
        secret=written.get("secret", False),
        blocks=blocks,
    )
