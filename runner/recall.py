"""What is secret in a run that another worker had in hand before."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from runner.nodes.base import NodeError
from runner.state import RunState


def recall(run: RunState) -> None:
    """Star all secrets that the run's version names, as they are now (which of them were used is not known), and
    whatever else this process knows of the run.

    One that cannot be had now is left out: whatever needs it will say so.
    """
    for name in sorted({*run.context.program.secrets, *_of_connections(run)}):
        with contextlib.suppress(NodeError):
            run.masking().add(run.context.secrets.value(name))


def _of_connections(run: RunState) -> Iterator[str]:
    for connection in run.context.program.connections:
        with contextlib.suppress(NodeError):
            yield from run.context.connections.secret_names(connection)
