"""Which bad ends start a run of what listens to them. Pure: none answers its own answers, no chain is endless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from schemas.pattern import JSON
from schemas.times import timestamp

LONGEST_CHAIN = 5
"""How many error runs may follow from each other's bad ends."""

MOST_A_MINUTE = 100
"""Error runs that may start of one deployment within any minute."""


class PassedOver(StrEnum):
    """Why a bad end that a deployment listens to started no run of it."""

    OWN_CHAIN = "own-chain"  # a run of its own pattern led to this end
    TOO_LONG = "too-long"  # as many error runs as may led to it
    TOO_MANY = "too-many"  # as many as may started within the last minute
    CIRCUIT_OPEN = "circuit-open"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A run that ended badly. `cause` is the trigger of the run that all began with, `began` that run's pattern."""

    id: str
    deployment: str
    pattern: str
    version: int | None
    attempt: int
    input: JSON
    error: JSON
    cause: Mapping[str, JSON]
    began: str
    now: float

    @property
    def chain(self) -> int:
        """How many error runs led here."""
        return int(self.cause.get("chain", 1)) if self.cause.get("kind") == "error" else 0

    @property
    def patterns(self) -> list[str]:
        """Of the error runs that led here, the first one first."""
        return [*self.cause.get("patterns", ()), self.began] if self.chain else []


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A deployment that listens, and the globs of what it listens to."""

    deployment_id: int
    pattern: str
    globs: Sequence[str]
    circuit_open: bool


def hears(listener: Listener, ended: Ended) -> bool:
    return any(fnmatchcase(ended.pattern, glob) for glob in listener.globs)


def refusal(listener: Listener, ended: Ended) -> PassedOver | None:
    """Why what it hears starts no run of the listener, as far as that follows from the chain."""
    if ended.chain and listener.pattern in (ended.pattern, *ended.patterns):
        return PassedOver.OWN_CHAIN
    return PassedOver.TOO_LONG if ended.chain >= LONGEST_CHAIN else None


def trigger_of(ended: Ended) -> dict[str, JSON]:
    """What the run of a listener sees of it."""
    run = {
        "id": ended.id,
        "deployment": ended.deployment,
        "pattern": ended.pattern,
        "version": ended.version,
        "attempt": ended.attempt,
        "input": ended.input,
    }
    return {
        "kind": "error",
        "error": ended.error,
        "run": run,
        "time": timestamp(ended.now),
        "chain": ended.chain + 1,
        "patterns": ended.patterns,
    }
