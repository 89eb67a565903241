"""Backfills go on: as many of their slots are at work as they allow, in their order."""

from __future__ import annotations

import logging
from datetime import datetime

from runner.firing import schedule_trigger
from schemas.json_text import dump
from store import admission, backfills
from store.admission import Answer
from store.backfills import BackfillState, Held
from store.database import Connection
from store.ids import new_id
from store.runs import NewRun
from store.schedules import clock
from store.slots import REFUSED

log = logging.getLogger(__name__)

GONE = ("archived", "undeployed", None)
"""States of a deployment that its backfills do not outlive."""


def advance(connection: Connection) -> tuple[list[str], bool]:
    """All of them by a step. Gives the runs to announce, and whether there are any that go on."""
    running = backfills.running(connection)
    ring = [run for backfill in running for run in _advance(connection, backfill)]
    return ring, bool(running)


def _advance(connection: Connection, backfill: str) -> list[str]:
    with connection.transaction():
        held = backfills.hold(connection, backfill)
        return [] if held is None else _step(connection, held)


def _step(connection: Connection, held: Held) -> list[str]:
    busy = backfills.settle(connection, held.id)
    if held.deployment_state in GONE:
        reason = f"its deployment is {held.deployment_state or 'gone'}"
        backfills.end(connection, held.id, BackfillState.CANCELLED, reason)
        return []
    if held.deployment_state != "active":
        _tell(connection, held, str(held.deployment_state))
        return []
    following = backfills.left(connection, held.id, max(1, held.max_parallel - busy))
    if not following and not busy:
        backfills.end(connection, held.id, BackfillState.COMPLETED)
        log.info("backfill_completed", extra={"backfill": held.id, "deployment": held.deployment_id})
        return []
    return _begin(connection, held, following[: held.max_parallel - busy])


def _begin(connection: Connection, held: Held, following: list[tuple[int, datetime]]) -> list[str]:
    """One after the other: what is refused now, and all behind it, is tried again later."""
    ring: list[str] = []
    for position, at in following:
        run = _run(connection, held, at)
        verdict = admission.admit(connection, [run])[run.id]
        if not verdict.accepted:
            _tell(connection, held, REFUSED[verdict.answer])
            return ring
        backfills.begin(connection, held.id, position, run.id)
        ring += [*([run.id] if verdict.answer is Answer.PENDING else []), *verdict.ring]
    _tell(connection, held, None)
    return ring


def _run(connection: Connection, held: Held, at: datetime) -> NewRun:
    trigger = {**schedule_trigger(held.said, at, clock(connection)), "backfill": held.id}
    return NewRun(
        id=new_id(),
        deployment_id=held.deployment_id,
        kind="schedule",
        trigger=dump(trigger),
        input=None if held.input is None else dump(held.input),
    )


def _tell(connection: Connection, held: Held, reason: str | None) -> None:
    if reason != held.reason:
        backfills.tell(connection, held.id, reason)
