"""How the nodes of a rehearsal act: a stub in place of a node, and nothing that reaches outside without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Final

import orjson

from runner.attempt import Attempt
from runner.attempts import Attempts
from runner.cords import Cord
from runner.engine import Entry, Place
from runner.loop import Loop
from runner.nodes.base import NodeContext, NodeError, NodeHandler
from runner.outside import Outside
from runner.program import WITHOUT_EFFECT
from runner.rehearsal.frozen import FrozenRun
from runner.state import RunState
from schemas.pattern import JSON
from schemas.stubs import Fails
from store.journal import Step
from store.runs import RunStatus

LONGEST_SCRIPT: Final = 10.0
"""Seconds of real time that a script may take."""

_REHEARSED: Final = WITHOUT_EFFECT | {"script"}
"""The kinds that do in a test what they do elsewhere; all others reach outside."""


class StubbedAttempts(Attempts):
    def _begin(self, attempt: Attempt) -> Entry:
        run, node = attempt.run, attempt.step.node
        assert isinstance(run, FrozenRun)
        name = run.behind.ids + node.id
        if name in run.scene.stubs:
            return self._stubbed(attempt, run, name)
        if node.uses not in _REHEARSED:
            raise self._no_stub(
                run, name, f"The {node.uses} node {name} reaches outside, which a test does not."
            )
        if node.uses == "call" and "version" in node.with_:
            raise self._no_stub(
                run, name, f"The call {name} is of a frozen version, which a work tree does not have."
            )
        entry = super()._begin(attempt)
        if attempt.child is not None:
            run.trace.calls.append((attempt.child.pattern, orjson.loads(attempt.child.input)))
        return entry

    def _stubbed(self, attempt: Attempt, run: FrozenRun, name: str) -> Entry:
        """What the node takes is evaluated all the same: a mistake in it is one."""
        attempt.inputs = attempt.evaluate_inputs()
        if attempt.step.node.uses == "call":
            run.trace.calls.append((attempt.inputs["pattern"], attempt.inputs.get("input")))
        stub = run.scene.stubs.take(name, run.behind.paths + attempt.path)
        if isinstance(stub, Fails):
            raise NodeError(stub.type, stub.message, retryable=stub.retry)
        return attempt.completed(stub.output)

    def _no_stub(self, run: FrozenRun, name: str, why: str) -> NodeError:
        """The case fails with it, whatever the pattern makes of the error."""
        hint = f"Say what it gives, or how it fails: stubs: {{{name}: …}}."
        run.scene.faults.setdefault(name, f"{why} {hint}")
        return NodeError("no_stub", why, hint=hint, retryable=False)


class Rehearsal(Loop):
    """Every node is performed at once; what would be written goes to `keep`."""

    def __init__(
        self, handlers: Mapping[str, NodeHandler], outside: Outside, keep: Callable[[Step], None]
    ) -> None:
        self._keep = keep
        hurried = {"script": _hurried(handlers["script"])} if "script" in handlers else {}
        super().__init__(StubbedAttempts({**handlers, **hurried}, outside))

    def _flush(self, run: RunState) -> None:
        self._keep(run.step(RunStatus.RUNNING))

    def _perform_beside(self, run: RunState, place: Place, known: Entry | None, cord: Cord) -> None:
        run.settle(self._attempts.perform(run, place, known, cord))

    def _await(self, run: RunState, wake: float | None) -> None:
        raise AssertionError("no node of a rehearsal is at work beside others")


def _hurried(script: NodeHandler) -> NodeHandler:
    """The clock of the case stands still while a script runs; real time does not."""

    def call(context: NodeContext, inputs: JSON) -> JSON:
        until = monotonic() + LONGEST_SCRIPT
        remaining = context.remaining
        return script(replace(context, remaining=lambda: min(remaining(), until - monotonic())), inputs)

    return call
