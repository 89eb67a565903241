"""A deployment's file as the rest of Weft sees it: typed, frozen, defaults filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from schemas.pattern import JSON, RetryPolicy, retry_from
from schemas.quantities import seconds
from schemas.schedule import Schedule, schedules_from


class SourceKind(StrEnum):
    BRANCH = "branch"  # what the branch's head holds
    TAG = "tag"  # what the commit under the tag holds
    TAGS = "tags"  # what the commit under the highest version among the tags that match holds
    VERSION = "version"  # the frozen version of that number
    COMMIT = "commit"  # what that commit holds


class State(StrEnum):
    ACTIVE = "active"  # its triggers start runs
    PAUSED = "paused"  # webhooks answer 503, runs in progress finish
    ARCHIVED = "archived"  # for good: cannot run


class WhenFull(StrEnum):
    QUEUE = "queue"  # wait: who came first, begins first
    REJECT = "reject"  # webhooks and API answer 409, a schedule's slot is passed over, a call fails
    CANCEL_OLDEST = "cancel-oldest"  # cancel the oldest run of the key and begin when it has ended


@dataclass(frozen=True, kw_only=True)
class Concurrency:
    """At most `limit` runs at once, for each value that the template `key` gives; without it, of all together."""

    limit: int
    key: str | None = None
    when_full: WhenFull = WhenFull.QUEUE


@dataclass(frozen=True, kw_only=True)
class CircuitBreaker:
    """After `failures` runs that ended badly `within` so many seconds, no run begins for `cooldown` seconds."""

    failures: int
    within: float
    cooldown: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Source:
    kind: SourceKind
    value: str  # a branch, a tag, a glob of tags, a number as text, a commit id or the beginning of one

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


@dataclass(frozen=True, kw_only=True)
class DeploymentSpec:
    """What a `Deployment` document's `spec` says. `source` None follows the default branch."""

    pattern: str
    environment: str = "production"
    source: Source | None = None
    state: State = State.ACTIVE
    schedules: tuple[Schedule, ...] | None = None  # replaces the pattern's when given
    variables: Mapping[str, JSON] = field(default_factory=dict)
    retry: RetryPolicy | None = None
    timeout: float | None = None  # seconds
    concurrency: Concurrency | None = None
    circuit_breaker: CircuitBreaker | None = None


def deployment_from_spec(spec: Mapping[str, JSON]) -> DeploymentSpec:
    """The typed deployment of a `spec` that passed the checks (or was recorded from one that did)."""
    return DeploymentSpec(
        pattern=spec["pattern"],
        environment=spec.get("environment", "production"),
        source=_source(spec["source"]) if "source" in spec else None,
        state=State(spec.get("state", State.ACTIVE)),
        schedules=schedules_from(spec["schedules"]) if "schedules" in spec else None,
        variables=spec.get("variables", {}),
        retry=retry_from(spec["retry"]) if "retry" in spec else None,
        timeout=seconds(spec["timeout"]) if "timeout" in spec else None,
        concurrency=concurrency_from(spec["concurrency"]) if "concurrency" in spec else None,
        circuit_breaker=breaker_from(spec["circuitBreaker"]) if "circuitBreaker" in spec else None,
    )


def concurrency_from(written: Mapping[str, JSON]) -> Concurrency:
    """The typed `concurrency` of a deployment that passed the checks."""
    when_full = WhenFull(written.get("whenFull", WhenFull.QUEUE))
    return Concurrency(limit=written["limit"], key=written.get("key"), when_full=when_full)


def breaker_from(written: Mapping[str, JSON]) -> CircuitBreaker:
    """The typed `circuitBreaker` of a deployment that passed the checks."""
    return CircuitBreaker(
        failures=written["failures"],
        within=seconds(written["within"]),
        cooldown=seconds(written.get("cooldown", "5m")),
    )


def _source(written: Mapping[str, JSON]) -> Source:
    ((kind, value),) = written.items()
    return Source(kind=SourceKind(kind), value=str(value))
