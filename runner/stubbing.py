"""Stubs of a test run: what stands in place of a node, told from the journal alone, so that any worker goes on."""

from __future__ import annotations

import re
from typing import Final

from runner.attempt import Attempt
from runner.engine import Entry
from runner.nodes.base import NodeError
from runner.program import written_path
from schemas.stubs import Fails, Gives, pick

_ROUND: Final = re.compile(r"\[(\d+)\]")
_CONTAINER_ATTEMPT: Final = re.compile(r"~\d+")


def stub_of(attempt: Attempt) -> Gives | Fails | None:
    """What counts this time, in place of the node; None: it really runs."""
    run = attempt.run
    stub = run.context.stubs.get("".join(f"{_id(path)}/" for path in run.called_by) + _id(attempt.path))
    if stub is None:
        return None
    place = "/".join([*run.called_by, attempt.path])
    return pick(stub, [int(at) for at in _ROUND.findall(place)], _tried(attempt))


def play(attempt: Attempt, stub: Gives | Fails) -> Entry:
    """The node's entry by its stub. What the node takes is evaluated all the same: a mistake in it is one."""
    attempt.inputs = attempt.pretended_inputs()
    attempt.write_log("info", "stubbed: the test run did not run this node")
    if isinstance(stub, Fails):
        raise NodeError(stub.type, stub.message, retryable=stub.retry)
    return attempt.completed(stub.output)


def _tried(attempt: Attempt) -> int:
    """How often the node was tried before in this round, also in attempts of the containers around it."""
    before = attempt.number - 1
    if "~" not in attempt.path:
        return before
    place = _CONTAINER_ATTEMPT.sub("", attempt.path)
    return before + sum(
        entry.attempt
        for path, entry in attempt.run.journal.items()
        if path != attempt.path and _CONTAINER_ATTEMPT.sub("", path) == place
    )


def _id(path: str) -> str:
    return written_path(path).rpartition("/")[2]
