"""After a failure: again, or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from schemas import redis_commands
from schemas.errors import is_a
from schemas.pattern import JSON, Node, RetryPolicy

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""HTTP methods that may be repeated (RFC 9110, section 9.2.2)."""


def after_failure(policy: RetryPolicy, attempt: int, error_type: str, chance: float) -> float | None:
    """Seconds until the next attempt, or None when there is none.

    `attempt` is the one that failed, from 1. `chance` in [0, 1) is the dice for the jitter. The policy's `when` is
    for whoever can evaluate it.
    """
    if attempt >= policy.attempts or (policy.on and not is_a(error_type, policy.on)):
        return None
    # A power of a thousand attempts is no float any more.
    exponent = min(attempt - 1, 100)
    delay = min(policy.delay * min(policy.factor**exponent, 1e9), policy.max_delay)
    return delay * chance if policy.jitter else delay


def node_policy(node: Node, inputs: JSON) -> RetryPolicy:
    """The node's own policy; three attempts by default where it reaches outside and may do so again."""
    if node.retry is not None:
        return node.retry
    may_repeat = _MAY_REPEAT.get(node.uses)
    if may_repeat is not None and isinstance(inputs, dict) and may_repeat(inputs):
        return RetryPolicy(attempts=3)
    return RetryPolicy()


def _request(inputs: Mapping[str, JSON]) -> bool:
    headers = inputs.get("headers") or {}
    keyed = any(name.lower() == "idempotency-key" for name in headers)
    return keyed or str(inputs.get("method", "GET")).upper() in SAFE_METHODS


def _command(inputs: Mapping[str, JSON]) -> bool:
    command = inputs.get("command")
    return isinstance(command, list) and redis_commands.may_repeat(command)


_MAY_REPEAT: Final[Mapping[str, Callable[[Mapping[str, JSON]], bool]]] = {
    "http": _request,
    "redis": _command,
    "s3": lambda _: True,  # every action: to write or to delete the same again changes nothing
    "probe": lambda _: True,
}
