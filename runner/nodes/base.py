"""What a node kind is: a function of its evaluated input, and the errors it may end with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from schemas.connection import Limit
from schemas.pattern import JSON


class NodeError(Exception):
    """A node's work failed. `type` is a stable name that `retry.on` can list; `hint` says what to do next.

    `retryable` False means that another attempt cannot help (a 404, a wrong argument).
    `retry_after` (seconds) is what the other side asked for, and a lower bound for the next delay.
    """

    def __init__(
        self,
        type_: str,
        message: str,
        *,
        hint: str = "",
        retryable: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.type = type_
        self.message = message
        self.hint = hint
        self.retryable = retryable
        self.retry_after = retry_after


class Assets(Protocol):
    """The files frozen with the version that is running."""

    def read(self, path: str) -> bytes:
        """The content of the asset at `path` (from the repository's root). Raises NodeError if it is not frozen."""
        ...


class Connections(Protocol):
    """The project's connections, as the environment of this run has them."""

    def get(self, name: str, *types: str) -> Mapping[str, JSON]:
        """The `spec` of the Connection, secrets filled in. Raises NodeError where there is none of `types`."""
        ...

    def limit(self, name: str) -> Limit | None:
        """How many nodes may use it at one time; None: any number. Raises NodeError where there is none."""
        ...


class NoConnections:
    """Where a node runs outside of any project."""

    def get(self, name: str, *types: str, secret: Callable[[str], str] | None = None) -> Mapping[str, JSON]:
        raise NodeError("unknown_connection", f"There is no connection {name!r:.80}.", retryable=False)

    def limit(self, name: str) -> Limit | None:
        return None

    def secret_names(self, name: str) -> frozenset[str]:
        return frozenset()


NO_CONNECTIONS = NoConnections()


class Cancelled(Protocol):
    """An emergency cord, seen from a node at work. (threading.Event is one.)"""

    def is_set(self) -> bool:
        """Whether the work has to be given up."""
        ...


@dataclass(kw_only=True, slots=True)  # not frozen: that alone would cost a light node a fifth of its time
class NodeContext:
    """What surrounds one attempt of one node.

    `idempotency_key` is the same for every attempt of this node of this run.
    `remaining()` gives the seconds left until the node's or the run's time-out, whichever is first.
    `cancelled` is set when the run is cancelled, its lease is lost, or the worker must leave: give up at once.
    `lease` is the one under which this worker has the run.
    `network` is the project's `network.allow`: the private addresses that this node may reach all the same.
    `connections` are those of the project, as they are for this run's environment.
    """

    run_id: str
    path: str
    attempt: int
    idempotency_key: str
    remaining: Callable[[], float]
    cancelled: Cancelled
    log: Callable[..., None]  # log(level, message, **fields): a line of this node's span
    assets: Assets
    version_id: str
    lease: int = 0
    network: tuple[str, ...] = ()
    connections: Connections = NO_CONNECTIONS


class NodeHandler(Protocol):
    """One kind of work node: takes its evaluated `with`, gives its output (JSON), or raises NodeError."""

    def __call__(self, context: NodeContext, inputs: JSON) -> JSON: ...
