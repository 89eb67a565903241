"""What becomes of the slots of one live schedule. Pure; time is an argument."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice, takewhile

from schemas.quantities import duration
from schemas.schedule import LATE, Fire, Overlap, Schedule
from schemas.schedules import Slot, slots
from store.schedules import LiveTicker, TickerKey
from store.slots import OpenSlot, Reason

MOST_FIRED = 1000
"""Slots of one schedule that fire at once after a downtime, the latest ones."""

MOST_COUNTED = 1000
"""Slots that are counted of those that were missed; there may be millions."""

MOST_ROWS = 20
"""Missed slots that have a row each; of more, one row stands for all."""

MOST_WAITING = 100
"""Slots of one schedule that wait for the one before to end."""

GRACE = timedelta(seconds=LATE)
TICK = timedelta(microseconds=1)
APART = timedelta(seconds=1)


@dataclass(frozen=True)
class Ticking:
    """One live schedule of one deployment, as it is since `since`; active since `active_since`, whatever it was.
    `light`: there is nothing but light nodes in its pattern.
    """

    deployment_id: int
    schedule: Schedule
    since: datetime
    active_since: datetime
    light: bool = False
    _known: dict[datetime, Slot | None] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def key(self) -> TickerKey:
        return TickerKey(self.deployment_id, schedule_key(self.schedule))

    @property
    def live(self) -> LiveTicker:
        return LiveTicker(self.key, self.since, self.active_since)

    @property
    def said(self) -> str:
        return said(self.schedule)

    def due(self, slot: datetime) -> datetime:
        """When it fires: the same for all controllers."""
        if not self.schedule.jitter:
            return slot
        name = f"{self.key.deployment_id}/{self.key.schedule}/{slot.isoformat()}"
        share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
        return slot + timedelta(seconds=self.schedule.jitter * share)

    def next_slot(self, upto: datetime) -> Slot | None:
        """The first behind `upto`, remembered: what is looked for before it is due is asked for when it is."""
        if upto not in self._known:
            found = next(slots(self.schedule, upto), None)
            if len(self._known) > 1:
                self._known.clear()
            self._known[upto] = found
        return self._known[upto]

    def next_due(self, upto: datetime) -> datetime | None:
        """When the first slot behind `upto` is due; None: there is none any more."""
        slot = self.next_slot(upto)
        return None if slot is None else self.due(slot.at)


def said(schedule: Schedule) -> str:
    """How people know it: its cron line, or `every 15m`."""
    return schedule.cron or f"every {duration(schedule.every or 0.0)}"


def schedule_key(schedule: Schedule) -> str:
    """The same as long as the same slots are meant, wherever the schedule stands in its list."""
    parts = [schedule.cron, schedule.every, schedule.timezone, schedule.input]
    if schedule.start is not None or schedule.end is not None:
        parts += [one and one.isoformat() for one in (schedule.start, schedule.end)]
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """Slots that do not fire: one, or `count` of them (None: more than were counted) from `at` to `last_at`."""

    at: datetime
    reason: Reason
    last_at: datetime | None = None
    count: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What becomes of the slots up to `upto`: `fire` now, wait (`queue`), or pass. Waiting ones in `replaced` are
    passed over, too, and the runs in `cancel` are asked to end.
    """

    upto: datetime
    fire: tuple[datetime, ...] = ()
    queue: tuple[datetime, ...] = ()
    passed: tuple[Passed, ...] = ()
    replaced: tuple[datetime, ...] = ()


def decide(ticking: Ticking, upto: datetime, now: datetime, held: Sequence[OpenSlot] = ()) -> Decision | None:
    """About every slot behind `upto` that is due; None: there is none. `held`: what they may not overlap with."""
    due = _due(ticking, upto, now)
    if not due.slots and not due.older:
        return None
    wanted, missed = _caught_up(ticking, due.slots, now)
    gaps = tuple(Passed(at=slot.at, reason=Reason.GAP) for slot in due.slots if slot.in_gap)
    fire, queue, replaced, overlapped = _overlapped(ticking.schedule.overlap, wanted, held)
    return Decision(
        upto=due.slots[-1].at if due.slots else due.until or due.older[-1],
        fire=fire,
        queue=queue,
        replaced=replaced,
        passed=(
            *_missed([*due.older, *missed], due.until),
            *gaps,
            *(Passed(at=at, reason=Reason.OVERLAP) for at in overlapped),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Due:
    """The latest slots that are due, and the `older` ones that are too late for all that `catchUp` may say.
    `until`: there are more of these than were counted, up to then.
    """

    slots: Sequence[Slot]
    older: Sequence[datetime] = ()
    until: datetime | None = None


def _due(ticking: Ticking, upto: datetime, now: datetime) -> _Due:
    def is_due(slot: Slot) -> bool:
        return ticking.due(slot.at) <= now

    schedule = ticking.schedule
    first = ticking.next_slot(upto)
    if first is None or not is_due(first):
        return _Due(())
    # No two slots are less than a second apart: of what fires in time, the next is looked for afterwards.
    second = ticking.next_slot(first.at) if now - first.at >= APART else None
    if second is None or not is_due(second):
        return _Due((first,))
    back = timedelta(seconds=max(schedule.catch_up.window, LATE) + schedule.jitter)
    begin = max(upto, now - back - TICK)
    latest = _latest(lambda after: takewhile(is_due, slots(schedule, after)), begin, now)
    until = latest[0].at if latest else begin + TICK
    behind = takewhile(lambda slot: slot.at < until, slots(schedule, upto))
    older = [slot.at for slot in islice(behind, MOST_COUNTED + 1)]
    return _Due(latest, older, until - TICK if len(older) > MOST_COUNTED else None)


def _latest(walk: Callable[[datetime], Iterable[Slot]], after: datetime, now: datetime) -> Sequence[Slot]:
    """Up to MOST_FIRED of them behind `after`: from ever further back, as there may be millions."""
    reach = timedelta(seconds=MOST_FIRED)  # there is one in a second at most
    while True:
        begin = max(after, now - reach)
        found: deque[Slot] = deque(walk(begin), maxlen=MOST_FIRED)
        if begin == after or len(found) == MOST_FIRED:
            return list(found)
        reach *= 2


def _caught_up(ticking: Ticking, due: Sequence[Slot], now: datetime) -> tuple[list[datetime], list[datetime]]:
    """(those that fire, those that were missed). What is late by less than a restart is not missed."""
    policy = ticking.schedule.catch_up
    window = max(GRACE, timedelta(seconds=policy.window)) if policy.fire is not Fire.NONE else GRACE
    real = [slot.at for slot in due if not slot.in_gap]
    late = [at for at in real if ticking.due(at) < now - GRACE]
    wanted = [at for at in real if ticking.due(at) >= now - window]
    if late and policy.fire is Fire.LATEST:
        wanted = wanted[-1:]
    kept = set(wanted)
    return wanted, [at for at in real if at not in kept]


def _missed(missed: Sequence[datetime], until: datetime | None) -> Iterator[Passed]:
    """A row each, or one for all. `until`: there are more."""
    if until is not None:
        yield Passed(at=missed[0], reason=Reason.MISSED, last_at=max(until, missed[-1]))
    elif len(missed) > MOST_ROWS:
        yield Passed(at=missed[0], reason=Reason.MISSED, last_at=missed[-1], count=len(missed))
    else:
        yield from (Passed(at=at, reason=Reason.MISSED) for at in missed)


def _overlapped(
    policy: Overlap, wanted: Sequence[datetime], held: Sequence[OpenSlot]
) -> tuple[tuple[datetime, ...], tuple[datetime, ...], tuple[datetime, ...], tuple[datetime, ...]]:
    """(fire now, wait, no longer wait, not fired)."""
    everything = tuple(wanted)
    if policy is Overlap.ALLOW or not wanted:
        return everything, (), (), ()
    line = tuple(one.at for one in held if one.run_id is None)
    if policy is Overlap.CANCEL_OLDEST:
        now, later = ((), everything[-1:]) if held else (everything[-1:], ())
        return now, later, line, everything[:-1]
    now, rest = ((), everything) if held else (everything[:1], everything[1:])
    if policy is Overlap.SKIP:
        return now, (), (), rest
    room = max(0, MOST_WAITING - len(line))
    return now, rest[:room], (), rest[room:]


def successor(policy: Overlap, held: Sequence[OpenSlot]) -> datetime | None:
    """The slot that begins now, of those that wait: the first when nothing is at work."""
    if any(one.run_id is not None for one in held):
        return None
    return next((one.at for one in held if one.run_id is None), None)


def surplus(policy: Overlap, held: Sequence[OpenSlot]) -> list[str]:
    """Runs that have to end because another slot waits."""
    if policy is not Overlap.CANCEL_OLDEST or all(one.run_id is not None for one in held):
        return []
    return [one.run_id for one in held if one.run_id is not None and not one.cancelled]
