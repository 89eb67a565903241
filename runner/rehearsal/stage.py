"""One case played to its end: the run, the runs that it calls, and the time between them.

Whoever can go on does, in the order in which the runs began. When nobody can, the next event of the case is posted;
when there is none, the clock jumps to the next timer, or event, or to the end of a run's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from runner.contexts import RunContext
from runner.cords import Stop
from runner.nodes.base import NodeHandler
from runner.rehearsal.acting import Rehearsal
from runner.rehearsal.frozen import Behind, Clock, FrozenRun, Scene, Trace
from runner.rehearsal.library import Library
from runner.rehearsal.secrets import GivenSecrets
from runner.rehearsal.stubs import Stubs
from schemas.json_schemas import violations
from schemas.pattern import JSON
from schemas.pattern_test import Answer, Case, Event
from schemas.times import timestamp
from store.journal import ChildRun, Step
from store.leases import ClaimedRun
from store.run_events import APPROVAL, RunEvent

MOST_STEPS: Final = 100_000
"""Times that a case may put its runs to rest: more is a circle that no clock ends."""


class EndlessCaseError(Exception):
    """A case that does not come to its end."""


@dataclass(slots=True)
class _Actor:
    """A run of the case. `due`: when it goes on by itself; None: it can go on now."""

    run: FrozenRun
    due: float | None = None
    end: Step | None = None
    parent: _Actor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Played:
    """How a case ended. `traces` by the ids of the calls that led to each pattern, "" for the one that is tried.

    `faults` says of nodes that cannot be played as the case has it what to do about them.
    """

    status: str
    output: JSON
    error: JSON
    faults: tuple[str, ...]
    traces: dict[str, Trace]


@dataclass(slots=True)
class _Mail:
    """The events of a case: those still to be posted, and by run those that no node has taken."""

    to_come: list[Event]
    posted: dict[str, list[RunEvent]] = field(default_factory=dict)
    known: int = 0


class Stage:
    def __init__(
        self, library: Library, case: Case, pattern: str, handlers: Mapping[str, NodeHandler]
    ) -> None:
        self._library = library
        self._case = case
        self._clock = Clock(case.now)
        self._scene = Scene(clock=self._clock, stubs=Stubs(case.stubs))
        self._mail = _Mail(list(case.events))
        self._loop = Rehearsal(handlers, self, self._keep)
        self._secrets = GivenSecrets(case.secrets)
        context = library.context(pattern, case.variables, self._secrets)
        self._actors = [_Actor(FrozenRun(self._claimed(pattern), context, self._scene, Behind()))]

    def play(self) -> Played:
        """Raises EndlessCaseError."""
        for _ in range(MOST_STEPS):
            actor = next((one for one in self._actors if one.end is None and one.due is None), None)
            if actor is not None:
                self._settle(actor, self._loop.run(actor.run))
            elif self._root.end is not None:
                return self._played(self._root.end)
            elif not self._post():
                self._sleep()
        raise EndlessCaseError(f"It went on {MOST_STEPS:,} times and did not come to its end.")

    def closed(self, context: RunContext, pattern: str) -> str | None:
        return None

    def posted(self, run: str) -> list[RunEvent]:
        return list(self._mail.posted.get(run, ()))

    @property
    def _root(self) -> _Actor:
        return self._actors[0]

    def _played(self, end: Step) -> Played:
        return Played(
            status=str(end.status),
            output=None if end.output is None else orjson.loads(end.output),
            error=None if end.error is None else orjson.loads(end.error),
            faults=tuple(self._scene.faults.values()),
            traces=self._scene.traces,
        )

    def _keep(self, step: Step) -> None:
        """What a write would bring about."""
        taken = {event for event, _ in step.consumed}
        mail = self._mail.posted
        mail[step.run_id] = [event for event in mail.get(step.run_id, ()) if event.id not in taken]
        caller = next(actor for actor in self._actors if actor.run.claimed.id == step.run_id)
        for child in step.children:
            self._actors.append(self._called(caller, child))
        for orphan in step.orphans:
            self._cancel(orphan)

    def _settle(self, actor: _Actor, step: Step) -> None:
        self._keep(step)
        if step.ends:
            actor.end = step
            self._tell_parent(actor, step)
        elif step.attempt > actor.run.claimed.attempt:
            actor.run = actor.run.again(attempt=step.attempt)
            actor.due = step.due
        else:
            actor.due = float("inf") if step.due is None else step.due

    def _called(self, actor: _Actor, child: ChildRun) -> _Actor:
        claimed = actor.run.claimed._replace(
            id=child.id,
            pattern=child.pattern,
            version_id=child.version_id,
            trigger_kind="call",
            trigger=orjson.loads(child.trigger),
            input=orjson.loads(child.input),
            attempt=1,
            cancelled=False,
            parent_id=actor.run.claimed.id,
            root_id=self._root.run.claimed.id,
            depth=actor.run.claimed.depth + 1,
            started_at=self._clock.now,
        )
        behind = actor.run.behind.beyond(child.parent_path)
        context = self._library.context(child.pattern, {}, self._secrets)
        return _Actor(FrozenRun(claimed, context, self._scene, behind), parent=actor)

    def _cancel(self, run: str) -> None:
        for actor in self._actors:
            if actor.run.claimed.id == run and actor.end is None:
                actor.run.control.pull(Stop.CANCELLED)
                actor.due = None

    def _tell_parent(self, actor: _Actor, end: Step) -> None:
        parent = actor.parent
        if parent is None or parent.end is not None:
            return
        for _, _, entry in parent.run.waiting():
            if entry.child == actor.run.claimed.id:
                entry.child_status = str(end.status)
                entry.output = None if end.output is None else orjson.loads(end.output)
                entry.error = None if end.error is None else orjson.loads(end.error)
                parent.due = None

    def _post(self) -> bool:
        """Post the first event whose time has come, if there is one. An answer waits until it is asked for."""
        for event in self._mail.to_come:
            at = (self._root, "", None) if event.node is None else self._asking(event.node)
            if at is None or self._case.now + (event.after or 0.0) > self._clock.now:
                continue
            actor, path, asks = at
            self._check_form(event, asks)
            self._mail.to_come.remove(event)
            self._mail.known += 1
            self._mail.posted.setdefault(actor.run.claimed.id, []).append(self._event(event, path))
            _wake(actor)
            return True
        return False

    def _check_form(self, event: Event, asks: JSON) -> None:
        """What the service would refuse is no answer: the case fails with it, whatever comes of it."""
        if event.answer is Answer.APPROVE and asks["form"] is not None:
            reasons = violations(asks["form"], event.form)
            if reasons:
                fault = f"The answer to {event.node} does not fit its form: {'; '.join(reasons)}."
                self._scene.faults.setdefault(str(event.node), f"{fault} Give it another `form`.")

    def _asking(self, node: str) -> tuple[_Actor, str, JSON] | None:
        """The run and the path of the `approve` node that waits for an answer, and what it asks."""
        for actor in self._actors:
            for step, path, entry in actor.run.waiting() if actor.end is None else ():
                if actor.run.behind.ids + step.node.id == node and entry.error is None:
                    return actor, path, entry.output
        return None

    def _event(self, event: Event, path: str) -> RunEvent:
        answer = {"node": path, "approved": event.answer is Answer.APPROVE, "form": event.form}
        return RunEvent(
            id=self._mail.known,
            name=event.name or APPROVAL,
            body=event.body if event.answer is None else answer,
            actor=event.by,
            at=self._clock.now,
        )

    def _sleep(self) -> None:
        """Jump to what comes next. Every run that has not ended has a time at which it does."""
        self._clock.now = max(self._clock.now, min(self._times()))
        for actor in self._actors:
            if actor.end is None and actor.due is not None and actor.due <= self._clock.now:
                actor.due = None

    def _times(self) -> Iterator[float]:
        for actor in self._actors:
            if actor.end is None and actor.due is not None:
                yield actor.due
        for event in self._mail.to_come:
            if event.after is not None and self._case.now + event.after > self._clock.now:
                yield self._case.now + event.after

    def _claimed(self, pattern: str) -> ClaimedRun:
        case = self._case
        kind, trigger = trigger_of(case)
        return ClaimedRun(
            id="01890000-0000-7000-8000-000000000001",
            lease=1,
            deployment_id=1,
            revision=1,
            version_id=pattern,
            pattern=pattern,
            trigger_kind=kind,
            trigger=trigger,
            input=case.input,
            attempt=1,
            cancelled=False,
            parent_id=None,
            root_id=None,
            depth=0,
            started_at=case.now,
            now=case.now,
        )


def _wake(actor: _Actor) -> None:
    actor.run.posted_to()
    actor.due = None


def trigger_of(case: Case) -> tuple[str, JSON]:
    """How the run of a case starts, and what it sees of that: the defaults are those of a request or a run by hand.

    The input of a run by hand is held against the pattern's schema, as it is where somebody starts one.
    """
    written = case.trigger
    if written is None:
        return "call", {"kind": "manual", "time": timestamp(case.now)}
    kind = written.get("kind", "webhook")
    trigger = {"time": timestamp(case.now), **written, "kind": kind}
    if kind == "webhook":
        request: dict[str, JSON] = {"method": "POST", "path": "/", "query": {}, "headers": {}, "body": None}
        trigger = {**request, **trigger}
        headers = trigger["headers"]
        trigger["headers"] = {name.lower(): value for name, value in headers.items()} if headers else {}
    return ("call" if kind in ("call", "manual", "api") else kind), trigger
