"""Schedules of a deployment, as the API shows them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.deployment import deployment_from_spec
from schemas.pattern import JSON
from schemas.schedule import CatchUp, Overlap, Schedule
from schemas.schedules import next_fires
from store.deployments import Deployment
from web.api.encoding import rfc3339, without_none
from web.contents import Content

SHOWN = 3
"""Next fire times of a schedule, and of all of them together."""


def deployment_schedules(found: Deployment, content: Content) -> Sequence[Schedule]:
    """Its own, else its pattern's; in the order by which they are numbered, from 1."""
    own = deployment_from_spec(found.spec).schedules
    return content.pattern.schedules if own is None else own


def coming(found: Deployment, schedule: Schedule) -> tuple[datetime, ...]:
    """When it fires next; never while the deployment is not active."""
    if found.state != "active":
        return ()
    return next_fires(schedule, max(datetime.now(UTC), found.at), SHOWN)


def schedule_json(number: int, schedule: Schedule, fires: Sequence[datetime]) -> dict[str, JSON]:
    """What it does not say, and is as always, is left out."""
    unlike = schedule.overlap is not Overlap.ALLOW
    said = {
        "kind": "schedule",
        "number": number,
        "cron": schedule.cron,
        "everyMs": None if schedule.every is None else round(schedule.every * 1000),
        "timezone": schedule.timezone,
        "input": schedule.input,
        "from": rfc3339(schedule.start),
        "until": rfc3339(schedule.end),
        "dst": schedule.dst and {"gap": schedule.dst.gap, "overlap": schedule.dst.overlap},
        "catchUp": None if schedule.catch_up == CatchUp() else _catch_up(schedule.catch_up),
        "overlap": schedule.overlap if unlike else None,
        "jitterMs": round(schedule.jitter * 1000) or None,
    }
    following = [rfc3339(at) for at in fires]
    return {**without_none(said), "nextAt": following[0] if following else None, "nextFireTimes": following}


def _catch_up(said: CatchUp) -> dict[str, JSON]:
    return {"windowMs": round(said.window * 1000), "fire": said.fire}
