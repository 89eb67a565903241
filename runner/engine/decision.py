"""What the engine decides: what can be done now, and the ends that lists come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from runner.engine.frames import Place
from runner.engine.journal import FOREVER
from schemas.pattern import JSON


@dataclass(frozen=True, slots=True)
class End:
    """A list's, or the run's, end. `error` None is success."""

    output: JSON = None
    error: JSON = None

    @property
    def well(self) -> bool:
        return self.error is None


class Stopped(End):
    """A `stop` node ended all the containers around it, and the run with them."""

    @property
    def well(self) -> bool:
        return False


class Halted(End):
    """It was told to end early, and did."""

    @property
    def well(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Close:
    """A container whose inside has come to its end. `late`: by the container's own `timeout`."""

    place: Place
    end: End
    late: bool = False


class Next:
    """`end`, or else what can be done now; with neither, the run waits (until `wake`, if that is a time).

    `halt` are nodes that wait for something nobody wants any more, and containers in which nothing is left; `pull`
    the paths of nodes at work that shall give up. `working` counts the nodes that are being worked on in this
    process, `waiting` those that wait.
    """

    wake: float | None = None
    working = 0
    waiting = 0
    end: End | None = None

    def __init__(self) -> None:
        self.ready: list[Place] = []
        self.closes: list[Close] = []
        self.halt: list[Place] = []
        self.pull: list[str] = []

    def take(self, other: Next) -> None:
        self.ready += other.ready
        self.closes += other.closes
        self.halt += other.halt
        self.pull += other.pull
        self.working += other.working
        self.waiting += other.waiting
        self.wake_at(other.wake)

    def wake_at(self, time: float | None) -> None:
        if time is not None and time != FOREVER:
            self.wake = time if self.wake is None else min(time, self.wake)


HALTED: Final = Halted()


def worst(ends: Iterable[End]) -> End:
    """A `stop` counts more than an error, the first error more than those after it and than being halted."""
    listed = list(ends)
    for kind in (Stopped, End):
        for end in listed:
            if type(end) is kind:
                return end
    return HALTED
