"""Lists of nodes under way, and the places in them."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from runner.engine.journal import Entry, output_of
from runner.program import Block, Step
from schemas.pattern import JSON, Node


class Frame:
    """A list of nodes under way.

    `scope` is what its expressions can name; `deadline` the time (seconds since the epoch) at which its nodes have
    to give up. In a `sheltered` one they go on when the run is cancelled. How far it is: in a list in order all
    before `at` are settled; in a graph `front` has those that can begin, or are under way, and `missing` how many
    nodes each other one still waits for.
    """

    __slots__ = (
        "at", "block", "deadline", "front", "last", "missing", "outputs", "prefix", "scope", "sheltered",
    )  # fmt: skip

    def __init__(
        self, block: Block, prefix: str, scope: dict[str, Any], deadline: float, *, sheltered: bool
    ) -> None:
        self.block = block
        self.prefix = prefix
        self.scope = scope
        self.outputs: MutableMapping[str, JSON] = scope["nodes"]
        self.deadline = deadline
        self.sheltered = sheltered
        self.at = 0
        self.last: JSON = None
        if not block.in_order:
            self.missing = [len(step.after) for step in block.steps]
            self.front = [at for at, missing in enumerate(self.missing) if not missing]

    def behind(self, at: int) -> list[int]:
        """The nodes of a graph that only waited for this one, which is settled now."""
        for one in self.block.followers[at]:
            self.missing[one] -= 1
        return [one for one in self.block.followers[at] if not self.missing[one]]

    def settle(self, step: Step, entry: Entry) -> None:
        self.last = self.outputs[step.node.id] = output_of(entry)


class Place(NamedTuple):
    """A node where it stands at run time."""

    step: Step
    frame: Frame
    path: str


@dataclass(frozen=True, slots=True)
class Container:
    """A container that has been entered, in its place.

    `key` is where the paths of its nodes begin: the second attempt of a container runs them anew, and their paths
    tell it from the first.
    """

    place: Place
    entry: Entry

    @property
    def key(self) -> str:
        return attempt_path(self.place.path, self.entry.attempt)

    @property
    def node(self) -> Node:
        return self.place.step.node

    @property
    def limit(self) -> float:
        """When its own `timeout` is over, in the journal's seconds."""
        return (self.entry.started or 0.0) + (self.node.timeout or float("inf"))


def attempt_path(path: str, attempt: int) -> str:
    return path if attempt == 1 else f"{path}~{attempt}"
