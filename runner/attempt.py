"""One attempt of one node: what surrounds it, and what it gathers on its way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runner.cords import Cord
from runner.engine import Entry, Place
from runner.nodes.base import NO_CONNECTIONS, NodeContext, NodeError
from runner.project_connections import basic_pair
from runner.result import Result
from runner.state import RunState
from schemas.connection import Limit
from schemas.errors import hint_of
from schemas.expressions import ExpressionFailed, Template
from schemas.json_text import dump
from schemas.pattern import JSON
from schemas.secret_values import SecretValues, placeholder
from schemas.times import timestamp
from store.large import Large
from store.spans import SpanStatus

MAX_OUTPUT: Final = 16 * 1024 * 1024
"""Characters of JSON that a node may give."""

LONGEST_MESSAGE: Final = 10_000
"""Characters of an error's message that are kept."""


class Attempt(Result):
    """`known` is the journal's entry so far: of the attempt before, of a timer that is over, of a called run.

    A node that goes on (after a timer, a called run, an event) goes on with the attempt that it had begun.
    """

    log: list[JSON]
    again = False
    number = 1
    inputs: JSON = None

    def __init__(self, run: RunState, place: Place, known: Entry | None, cord: Cord) -> None:
        self.run = run
        self.step, self.frame, self.path = place
        self.known = known
        self.cord = cord
        self.now = self.started = run.clock()
        self.log = []
        if known is not None:
            self._follow(known)

    def _follow(self, known: Entry) -> None:
        self.again = failed_before(known)
        self.number = known.attempt + 1 if self.again else known.attempt
        if not self.again:
            self.started = known.started or self.now

    @property
    def limit(self) -> float:
        """When the node's own `timeout` is over, seconds since the epoch."""
        return self.started + (self.step.node.timeout or float("inf"))

    def evaluate(self, template: Template, **names: Any) -> JSON:
        return template.evaluate({**self.frame.scope, "now": self.started, **names})

    def evaluate_inputs(self) -> JSON:
        """What the node is given. What expressions make of secrets is starred from here on."""
        step = self.step
        if not step.secrets:
            return self.evaluate(step.inputs)
        values = SecretValues({name: self.secret(name) for name in step.secrets})
        try:
            return self.evaluate(step.inputs, secrets=values)
        finally:
            self.run.masking().add_derived(map(str, values.derived))

    def pretended_inputs(self) -> JSON:
        """The same with nothing secret in it: for a node that does not really run."""
        values = SecretValues({name: placeholder(name) for name in self.step.secrets})
        return self.evaluate(self.step.inputs, secrets=values)

    def secret(self, name: str) -> str:
        """A secret as it is now, used by this node. Raises NodeError `unknown_secret`, `secrets_unavailable`."""
        value = self.run.context.secrets.value(name)
        self.run.masking().add(value)
        self.uses = self.uses | {name}
        return value

    def condition(self, template: Template, **names: Any) -> bool:
        return self.boolean(self.evaluate(template, **names))

    def boolean(self, value: JSON) -> bool:
        if isinstance(value, bool):
            return value
        raise NodeError(
            "not_a_boolean",
            f"The condition gives {dump(value)[:100]}, which is neither true nor false.",
            hint="Compare it with something: `${{ … == … }}`.",
            retryable=False,
        )

    def completed(self, output: JSON) -> Entry:
        if type(output) is Large:
            return Entry(SpanStatus.COMPLETED, self.number, output)
        mask = self.run.mask
        try:
            if mask is not None:
                output = mask.value(output)
            self.output = text = dump(output)
        except (TypeError, ValueError, RecursionError) as error:
            raise NodeError(
                "output_not_json", f"The output is not JSON: {error}.", retryable=False
            ) from error
        if len(text) > MAX_OUTPUT:
            message = f"The output has {len(text):,} characters of JSON; {MAX_OUTPUT:,} are allowed."
            raise NodeError("output_too_large", message, retryable=False)
        return Entry(SpanStatus.COMPLETED, self.number, output)

    def context(self) -> NodeContext:
        run = self.run
        if self.step.effect:
            run.control.live.begin(self.path, self.number, self.started, self.log)
        limit = min(self.frame.deadline, self.limit)
        return NodeContext(
            run_id=run.claimed.id,
            path=self.path,
            attempt=self.number,
            idempotency_key=f"{run.claimed.id}/{self.path}",
            remaining=lambda: limit - run.clock(),
            cancelled=self.cord,
            log=self.write_log,
            assets=run.context.assets,
            version_id=run.claimed.version_id,
            lease=run.claimed.lease,
            network=run.context.network,
            connections=NodeConnections(self) if self.step.connects else NO_CONNECTIONS,
        )

    def write_log(self, level: str, message: str, /, **fields: JSON) -> None:
        mask = self.run.mask
        if mask is not None:
            message, fields = mask.line(message), mask.value(fields)
        line = {"at": timestamp(self.run.clock()), "level": level, "message": message}
        self.log.append(line | ({"fields": fields} if fields else {}))

    @property
    def unwanted(self) -> bool:
        """Whether the node is to give up, or the time of what stands around it is over."""
        return self.cord.is_set() or self.run.clock() >= self.frame.deadline


class NodeConnections:
    """The project's connections for one attempt of a node, which so is known to use their secrets."""

    __slots__ = ("_attempt",)

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def get(self, name: str, *types: str) -> Mapping[str, JSON]:
        attempt = self._attempt
        spec = attempt.run.context.connections.get(name, *types, secret=attempt.secret)
        pair = basic_pair(spec) if attempt.uses else None
        if pair is not None:
            attempt.run.masking().add(pair)
        return spec

    def limit(self, name: str) -> Limit | None:
        return self._attempt.run.context.connections.limit(name)


def failed_before(known: Entry) -> bool:
    """Whether the journal's entry is of an attempt that failed (and not of one that sleeps)."""
    return known.error is not None and known.child is None


def _told(message: str) -> str:
    """Of a length that lists can show, and without what neither terminals nor PostgreSQL's JSON functions read."""
    text = message.replace("\0", "\ufffd")
    return text if len(text) <= LONGEST_MESSAGE else f"{text[: LONGEST_MESSAGE - 1]}…"


def describe(error: NodeError | ExpressionFailed, path: str | None) -> JSON:
    """An error as runs and spans record it."""
    if isinstance(error, ExpressionFailed):
        error = NodeError("expression", error.message, hint=error.hint, retryable=False)
    return {
        "type": error.type,
        "message": _told(error.message),
        "node": path,
        "hint": error.hint or hint_of(error.type),
        "retryable": error.retryable,
    }
