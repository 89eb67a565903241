"""Firing: what is decided of many schedules becomes durable in one transaction, runs and slots together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from runner.ticking import Decision, Ticking, decide, successor, surplus
from schemas.json_text import dump
from schemas.schedule import Overlap
from schemas.times import timestamp
from store import admission, schedules, slots, wakeups
from store.admission import Answer
from store.database import Connection
from store.ids import new_id
from store.runs import NewRun
from store.schedules import TickerKey
from store.slots import REFUSED, NewSlot, OpenSlot, Reason

log = logging.getLogger(__name__)


@dataclass
class Fired:
    """`ring` are runs to announce, and so are those in `light`, of patterns with nothing but light nodes. `upto`:
    up to when each schedule is decided; one that somebody else holds is not in it. `waiting`: slots wait for runs
    to end.
    """

    ring: list[str] = field(default_factory=list)
    light: list[str] = field(default_factory=list)
    upto: dict[TickerKey, datetime] = field(default_factory=dict)
    waiting: bool = False


def fire(connection: Connection, due: Sequence[Ticking]) -> Fired:
    """Decide about every slot that is due of these schedules, once for all controllers."""
    by_key = {ticking.key: ticking for ticking in due}
    with connection.transaction():
        fired = Fired(upto=schedules.hold(connection, list(by_key)))
        now = schedules.clock(connection)
        held = _held(connection, [by_key[key] for key in fired.upto])
        decisions = {
            key: decision
            for key, upto in fired.upto.items()
            if (decision := decide(by_key[key], upto, now, held.get(key, ()))) is not None
        }
        if decisions:
            _announce(fired, by_key, *_write(connection, by_key, decisions, now))
            fired.upto |= {key: decision.upto for key, decision in decisions.items()}
            schedules.advance(connection, {key: decision.upto for key, decision in decisions.items()})
    fired.waiting = any(decision.queue for decision in decisions.values())
    return fired


def _announce(
    fired: Fired, tickings: Mapping[TickerKey, Ticking], begun: Mapping[str, TickerKey], others: Sequence[str]
) -> None:
    for run, key in begun.items():
        (fired.light if tickings[key].light else fired.ring).append(run)
    fired.ring += others


def _held(connection: Connection, tickings: Iterable[Ticking]) -> Mapping[TickerKey, Sequence[OpenSlot]]:
    keys = [one.key for one in tickings if one.schedule.overlap is not Overlap.ALLOW]
    return slots.open_slots(connection, keys) if keys else {}


def _write(
    connection: Connection,
    tickings: Mapping[TickerKey, Ticking],
    decisions: Mapping[TickerKey, Decision],
    now: datetime,
) -> tuple[Mapping[str, TickerKey], Sequence[str]]:
    """Gives the runs that begin, with their schedules, and others to announce."""
    new = [slot for key, decision in decisions.items() for slot in _rows(tickings[key], decision)]
    ours = slots.add(connection, new)
    replaced = [
        NewSlot(key=key, at=at, reason=Reason.OVERLAP)
        for key, decision in decisions.items()
        for at in decision.replaced
    ]
    if replaced:
        slots.settle(connection, replaced)
    begun = [slot for slot in new if slot.run_id is not None and (slot.key, slot.at) in ours]
    for slot in new:
        if slot.reason is not None:
            told = {"deployment": slot.key.deployment_id, "reason": slot.reason, "slot": slot.at.isoformat()}
            log.info("slot_skipped", extra=told)
    return _start(connection, tickings, begun, now)


def _rows(ticking: Ticking, decision: Decision) -> Iterable[NewSlot]:
    key, exclusive = ticking.key, ticking.schedule.overlap is not Overlap.ALLOW
    for at in decision.fire:
        yield NewSlot(key=key, at=at, run_id=new_id(), open=exclusive)
    for at in decision.queue:
        yield NewSlot(key=key, at=at, open=True)
    for one in decision.passed:
        yield NewSlot(key=key, at=one.at, reason=one.reason, last_at=one.last_at, count=one.count)


def _start(
    connection: Connection, tickings: Mapping[TickerKey, Ticking], begun: Sequence[NewSlot], now: datetime
) -> tuple[Mapping[str, TickerKey], Sequence[str]]:
    """Admit a run for each. In the order of deployments: their locks are held until all are in."""
    if not begun:
        return {}, ()
    ordered = sorted(begun, key=lambda slot: (slot.key.deployment_id, slot.at))
    runs = [_run(tickings[slot.key], slot, now) for slot in ordered]
    verdicts = admission.admit(connection, runs)
    refused = []
    pending: dict[str, TickerKey] = {}
    others: list[str] = []
    for slot, run in zip(ordered, runs, strict=True):
        verdict = verdicts[run.id]
        others += verdict.ring
        if verdict.answer is Answer.PENDING:
            pending[run.id] = slot.key
        if not verdict.accepted:
            reason = REFUSED[verdict.answer]
            refused.append(replace(slot, run_id=None, reason=reason, open=False))
            told = {"deployment": slot.key.deployment_id, "reason": reason, "slot": slot.at.isoformat()}
            log.info("slot_skipped", extra=told)
    if refused:
        slots.settle(connection, refused)
    return pending, others


def _run(ticking: Ticking, slot: NewSlot, now: datetime) -> NewRun:
    assert slot.run_id is not None
    trigger = schedule_trigger(ticking.said, slot.at, now)
    said = ticking.schedule.input
    return NewRun(
        id=slot.run_id,
        deployment_id=ticking.deployment_id,
        kind="schedule",
        trigger=dump(trigger),
        input=None if said is None else dump(said),
    )


def schedule_trigger(said: str, slot: datetime, now: datetime) -> dict[str, str]:
    return {
        "kind": "schedule",
        "time": timestamp(slot.timestamp()),
        "receivedAt": timestamp(now.timestamp()),
        "schedule": said,
    }


def follow(connection: Connection, live: Mapping[TickerKey, Ticking]) -> Fired:
    """Begin what waited, where the run before it has ended; ask those to end that shall not be waited for."""
    fired = Fired()
    waiting = slots.waiting(connection)
    asked: list[str] = []
    if waiting:
        with connection.transaction():
            for key in schedules.hold(connection, [key for key in waiting if key in live]):
                _announce(fired, live, *_follow(connection, live[key], asked))
            _drop(connection, [key for key in waiting if key not in live])
    for run in asked:
        # By itself: it may wait for the rows of runs that are at work.
        fired.ring += wakeups.cancel(connection, run) or ()
    fired.waiting = bool(waiting)
    return fired


def _follow(
    connection: Connection, ticking: Ticking, asked: list[str]
) -> tuple[Mapping[str, TickerKey], Sequence[str]]:
    held = slots.open_slots(connection, [ticking.key])[ticking.key]
    policy = ticking.schedule.overlap
    asked += surplus(policy, held)
    at = successor(policy, held)
    if at is None:
        return {}, ()
    begun = NewSlot(key=ticking.key, at=at, run_id=new_id(), open=True)
    slots.settle(connection, [begun])
    return _start(connection, {ticking.key: ticking}, [begun], schedules.clock(connection))


def _drop(connection: Connection, keys: Sequence[TickerKey]) -> None:
    """What waits of schedules that are no longer live never begins; unless another controller knows better."""
    gone = schedules.without_ticker(connection, keys) if keys else ()
    dropped = [
        NewSlot(key=key, at=one.at, reason=Reason.CLOSED)
        for key, held in (slots.open_slots(connection, gone) if gone else {}).items()
        for one in held
        if one.run_id is None
    ]
    if dropped:
        slots.settle(connection, dropped)
