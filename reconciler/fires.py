"""When the schedules of a plan's deployments would fire next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from itertools import islice

from reconciler.steps import Action, Binding, Plan, Step, VersionRef
from schemas.deployment import deployment_from_spec
from schemas.pattern import JSON, Schedule, schedules_from
from schemas.schedules import next_fire

SHOWN = 3


def with_next_fires(plan: Plan, content: Callable[[VersionRef], Mapping[str, JSON]], now: datetime) -> Plan:
    """The plan with the next instants of everything that it makes or keeps active by a change."""
    return replace(plan, steps=tuple(_timed(step, content, now) for step in plan.steps))


def _timed(step: Step, content: Callable[[VersionRef], Mapping[str, JSON]], now: datetime) -> Step:
    after = step.after
    if step.action not in (Action.CREATE, Action.CHANGE) or after is None or after.state != "active":
        return step
    instants = sorted({at for schedule in _schedules(after, content) for at in _instants(schedule, now)})
    return replace(step, next_fires=tuple(islice(instants, SHOWN)))


def _schedules(after: Binding, content: Callable[[VersionRef], Mapping[str, JSON]]) -> tuple[Schedule, ...]:
    own = deployment_from_spec(after.spec).schedules
    if own is not None or after.version is None:
        return own or ()
    return schedules_from(content(after.version)["spec"].get("on", {}).get("schedule", ()))


def _instants(schedule: Schedule, now: datetime) -> list[datetime]:
    found: list[datetime] = []
    for _ in range(SHOWN):
        now = next_fire(schedule, now)
        found.append(now)
    return found
