"""A run of a case: its clock moves only where something waits, and it remembers what its nodes did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from runner.contexts import RunContext
from runner.cords import Control
from runner.engine import Entry
from runner.program import written_path
from runner.rehearsal.stubs import Stubs
from runner.result import Result
from runner.state import RunState
from schemas.pattern import JSON, BlockKey
from store.leases import ClaimedRun
from store.spans import SpanStatus


@dataclass(slots=True)
class Clock:
    """The time of a case, in seconds since the epoch. It never goes back."""

    now: float


@dataclass(slots=True)
class Trace:
    """What became of a pattern's nodes, by path: entries in the order in which they were first heard of.

    `taken`: ids of `branch` and `switch` nodes with the side that was taken. `calls` are patterns and inputs.
    """

    pattern: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    log: list[tuple[str, JSON]] = field(default_factory=list)
    calls: list[tuple[str, JSON]] = field(default_factory=list)
    taken: set[tuple[str, BlockKey]] = field(default_factory=set)

    @property
    def ran(self) -> list[str]:
        """The ids of the nodes that ran, in the order in which they began; those in loops once."""
        paths = (
            written_path(path)
            for path, entry in self.entries.items()
            if entry.status is not SpanStatus.SKIPPED
        )
        return list(dict.fromkeys(path.rpartition("/")[2] for path in paths))

    def outputs(self, id_: str) -> list[JSON]:
        """What a node gave, once for each round of the loops around it."""
        found = (e for path, e in self.entries.items() if written_path(path).rpartition("/")[2] == id_)
        return [entry.output for entry in found if entry.status is SpanStatus.COMPLETED]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What all runs of a case share. A trace is found by the ids of the calls that lead to the run.

    `faults`: nodes that cannot be played as the case has it → what to do about them.
    """

    clock: Clock
    stubs: Stubs
    traces: dict[str, Trace] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Behind:
    """Where a called run belongs: the calls that led to it, by `ids` and by `paths`. Each ends in a slash."""

    ids: str = ""
    paths: str = ""

    def beyond(self, path: str) -> Behind:
        """What is behind the call at `path` of the run that belongs here."""
        id_ = written_path(path).rpartition("/")[2]
        return Behind(ids=f"{self.ids}{id_}/", paths=f"{self.paths}{path}/")


class FrozenRun(RunState):
    def __init__(self, claimed: ClaimedRun, context: RunContext, scene: Scene, behind: Behind) -> None:
        self._clock = scene.clock
        self.scene = scene
        self.behind = behind
        self.trace = scene.traces.setdefault(behind.ids, Trace(pattern=claimed.pattern))
        super().__init__(claimed, context, Control(claimed.lease, 0.0), ())

    def clock(self) -> float:
        return self._clock.now

    def chance(self) -> float:
        """No jitter: a retry comes after the whole of its delay."""
        return 1.0

    def apply(self, result: Result) -> None:
        path = result.path
        self.trace.entries[self.behind.paths + path] = result.entry
        if result.entry.state is not None and "taken" in result.entry.state:
            id_ = written_path(path).rpartition("/")[2]
            self.trace.taken.add((id_, tuple(result.entry.state["taken"])))
        self.trace.log += [(path, line) for line in result.log]
        super().apply(result)

    def again(self, **changes: Any) -> FrozenRun:
        """Another attempt of the whole run."""
        return FrozenRun(self.claimed._replace(**changes), self.context, self.scene, self.behind)
