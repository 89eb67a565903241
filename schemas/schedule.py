"""A schedule as the rest of Weft sees it: typed, frozen, defaults filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final

from schemas.cron import cron_line
from schemas.quantities import seconds
from schemas.zones import instant

JSON = Any

WINDOW: Final = 86_400.0
"""Seconds that `catchUp: latest` and `catchUp: all` look back."""

DAY_OR_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
"""As the JSON Schema has it."""

LATE: Final = 60.0
"""Seconds: a slot is missed when it is later than that. As long as a restart takes, so that none is lost by one."""


class Gap(StrEnum):
    SHIFT = "shift"  # a time that the clock skips fires at the first instant after the gap
    SKIP = "skip"  # it does not fire


class Repeat(StrEnum):
    FIRST = "first"  # a time that the clock shows twice fires the first time
    SECOND = "second"
    BOTH = "both"


class Fire(StrEnum):
    NONE = "none"  # what was missed stays missed
    LATEST = "latest"  # of what was missed, the latest slot fires
    ALL = "all"  # every slot within the window fires


class Overlap(StrEnum):
    ALLOW = "allow"  # a slot fires whatever became of the one before
    SKIP = "skip"  # it does not while a run of the same schedule has not ended
    QUEUE = "queue"  # it begins when the one before has ended
    CANCEL_OLDEST = "cancel-oldest"  # the one before is cancelled, and it begins when that has ended


@dataclass(frozen=True, kw_only=True, slots=True)
class Dst:
    """What happens at slots that the wall clock skips or shows twice. `gap` None: nothing."""

    gap: Gap | None = Gap.SHIFT
    overlap: Repeat = Repeat.FIRST


ONCE: Final = Dst()
"""Of a schedule with fixed hours: once for each slot of the wall clock."""

ELAPSED: Final = Dst(gap=None, overlap=Repeat.BOTH)
"""Of one that runs in every hour: whenever the clock shows such a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CatchUp:
    """Which slots fire after a downtime: those of the last `window` seconds that `fire` says."""

    window: float = 0.0
    fire: Fire = Fire.NONE


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Exactly one of `cron` (as written) and `every` (seconds). `start` and `end` are the first and the last
    instant at which it may fire; `jitter` is in seconds. `dst` None: what its hours ask for.
    """

    cron: str | None = None
    every: float | None = None
    timezone: str = "UTC"
    input: JSON = None
    start: datetime | None = None
    end: datetime | None = None
    dst: Dst | None = None
    catch_up: CatchUp = field(default_factory=CatchUp)
    overlap: Overlap = Overlap.ALLOW
    jitter: float = 0.0

    @property
    def policy(self) -> Dst:
        """What holds at changes of the clock."""
        if self.dst is not None:
            return self.dst
        return ELAPSED if self.cron is None or cron_line(self.cron).in_every_hour else ONCE


def schedules_from(listed: Iterable[Mapping[str, JSON]]) -> tuple[Schedule, ...]:
    """The typed schedules of a list as a pattern or a deployment has it."""
    return tuple(map(schedule_from, listed))


def schedule_from(written: Mapping[str, JSON]) -> Schedule:
    zone = written.get("timezone", "UTC")
    return Schedule(
        cron=written.get("cron"),
        every=seconds(written["every"]) if "every" in written else None,
        timezone=zone,
        input=written.get("input"),
        start=first_instant(written["from"], zone) if "from" in written else None,
        end=last_instant(written["until"], zone) if "until" in written else None,
        dst=_dst(written),
        catch_up=_catch_up(written["catchUp"]) if "catchUp" in written else CatchUp(),
        overlap=Overlap(written.get("overlap", Overlap.ALLOW)),
        jitter=seconds(written["jitter"]) if "jitter" in written else 0.0,
    )


def first_instant(text: str, zone: str) -> datetime:
    """From when on: the beginning of a day, or a time, on the zone's clock unless it names an offset.

    Raises ValueError for anything else.
    """
    return instant(_read(text), zone)


def last_instant(text: str, zone: str) -> datetime:
    """Until when, that instant included: the end of a day, or a time."""
    at = _read(text)
    if len(text) == len("2026-03-01"):
        return instant(at + timedelta(days=1), zone) - timedelta(microseconds=1)
    return instant(at, zone, later=True)


def _read(text: str) -> datetime:
    if not DAY_OR_TIME.fullmatch(text):
        raise ValueError(f"{text!r} is no day or time")
    if len(text) == len("2026-03-01"):
        return datetime.combine(date.fromisoformat(text), time())
    return datetime.fromisoformat(text)


def _dst(written: Mapping[str, JSON]) -> Dst | None:
    """What it does not say is as without it."""
    if "dst" not in written or "cron" not in written:
        return None
    said, default = written["dst"], ELAPSED if cron_line(written["cron"]).in_every_hour else ONCE
    return Dst(
        gap=Gap(said["gap"]) if "gap" in said else default.gap,
        overlap=Repeat(said["overlap"]) if "overlap" in said else default.overlap,
    )


def _catch_up(written: JSON) -> CatchUp:
    if isinstance(written, dict):
        window = seconds(written["window"]) if "window" in written else WINDOW
        return CatchUp(window=window, fire=Fire(written.get("fire", Fire.ALL)))
    if written == Fire.NONE:
        return CatchUp()
    if written in (Fire.LATEST, Fire.ALL):
        return CatchUp(window=WINDOW, fire=Fire(written))
    return CatchUp(window=seconds(written), fire=Fire.ALL)
