"""Backfills: slots of the past are run, a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from runner.ticking import said, schedule_key
from schemas.cron import check_cron
from schemas.pattern import JSON
from schemas.schedule import Schedule, first_instant, last_instant
from schemas.schedule_rules import check_timezone
from schemas.schedules import fires
from store import backfills, schedules
from store.backfills import MOST_PARALLEL, MOST_SLOTS, BackfillRow, BackfillState, NewBackfill
from store.database import Connection, Database
from store.deployments import Deployment
from store.ids import new_id
from store.run_reads import is_run_id
from web.api.deployments import find_deployment
from web.api.encoding import Answer, rfc3339
from web.api.query import DEFAULT_LIMIT, Parser, limit, run_id, wrong
from web.api.resource import Call
from web.api.schedules import deployment_schedules
from web.api.starting import check_open
from web.contents import Contents
from web.problems import Kind, Refusal, not_found

LIST_QUERY: Mapping[str, Parser] = {"cursor": run_id, "limit": limit}
_FIRST_YEAR = 1970
"""Before it there was nothing to run, and soon no date to count from."""

BODY = ("from", "to", "schedule", "cron", "timezone", "maxParallel", "reverse", "again", "dryRun")


@dataclass(frozen=True, kw_only=True)
class _Asked:
    schedule: Schedule
    begin: datetime
    end: datetime
    max_parallel: int
    reverse: bool
    again: bool
    dry_run: bool


class Backfills:
    def __init__(self, database: Database, contents: Contents) -> None:
        self._database = database
        self._contents = contents

    async def create(self, call: Call) -> Response:
        """202 with the backfill; of a dry run 200 with its slots."""
        made = await run_in_threadpool(self._create, call)
        return Answer(made, 202 if "id" in made else 200)

    def _create(self, call: Call) -> dict[str, JSON]:
        with self._database.connection() as connection:
            found = find_deployment(connection, call)
            check_open(found)
            asked = self._asked(connection, found, call.body)
            wanted, left_out = _slots(connection, found, asked)
            if asked.dry_run:
                return {"slots": [rfc3339(at) for at in wanted], "leftOut": [rfc3339(at) for at in left_out]}
            _check_some(wanted, left_out, asked, found)
            new = _new(found, asked, call.identity.user)
            backfills.create(connection, new, wanted)
            [row] = backfills.list_backfills(connection, found.id, None, 1, only=new.id)
            return {**_json(row), "leftOut": len(left_out)}

    def list(self, call: Call) -> JSON:
        most = call.query["limit"] or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found = find_deployment(connection, call)
            rows = backfills.list_backfills(connection, found.id, call.query["cursor"], most + 1)
        following = rows[most - 1].id if len(rows) > most else None
        return {"items": [_json(row) for row in rows[:most]], "next": following}

    def one(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            return _json(_find(connection, find_deployment(connection, call), call))

    def cancel(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            found = find_deployment(connection, call)
            row = _find(connection, found, call)
            reason = f"cancelled by {call.identity.user}"
            if not backfills.end(connection, row.id, BackfillState.CANCELLED, reason):
                state = _find(connection, found, call).state
                raise Refusal(Kind.CONFLICT, f"This backfill is {state}: nothing of it is left to cancel.")
            return _json(_find(connection, found, call))

    def _asked(self, connection: Connection, found: Deployment, body: Mapping[str, JSON]) -> _Asked:
        """Raises Refusal with all that is wrong."""
        assert found.version is not None, "what is active has a version"
        listed = deployment_schedules(found, self._contents.get(connection, found.version.version_id))
        reading = _Reading(body)
        schedule = reading.schedule(listed)
        begin = reading.instant("from", schedule.timezone, first_instant)
        end = reading.instant("to", schedule.timezone, last_instant)
        asked = _Asked(
            schedule=replace(schedule, start=None, end=None),
            begin=begin,
            end=min(end, schedules.clock(connection)),
            max_parallel=reading.number("maxParallel", 1, MOST_PARALLEL),
            reverse=reading.flag("reverse"),
            again=reading.flag("again"),
            dry_run=reading.flag("dryRun"),
        )
        if end < begin and not reading.problems:
            reading.add("to", "it lies before `from`")
        reading.check()
        return asked


class _Reading:
    """Reads a body, and remembers what is wrong with it."""

    def __init__(self, body: Mapping[str, JSON]) -> None:
        self._body = body
        self.problems: list[dict[str, str]] = []

    def add(self, path: str, message: str) -> None:
        self.problems.append({"path": path, "message": message})

    def check(self) -> None:
        if self.problems:
            raise wrong("keys of the body", self.problems)

    def schedule(self, listed: Sequence[Schedule]) -> Schedule:
        """One of the deployment's by its number, its only one, or one for this alone."""
        number, cron, timezone = (self._body.get(key) for key in ("schedule", "cron", "timezone"))
        if cron is not None:
            return self._of_line(number, cron, "UTC" if timezone is None else timezone)
        if timezone is not None:
            self.add("timezone", "it goes with `cron`; a schedule of the deployment has its own")
        if number is None and len(listed) == 1:
            return listed[0]
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= len(listed):
            return listed[number - 1]
        if not listed:
            self.add("cron", "the deployment has no schedule: give a cron line")
        else:
            shown = "; ".join(f"{at}: {said(one)} in {one.timezone}" for at, one in enumerate(listed, 1))
            self.add("schedule", f"it takes the number of one of the deployment's schedules: {shown}")
        return Schedule(cron="@daily")

    def _of_line(self, number: JSON, cron: JSON, timezone: JSON) -> Schedule:
        before = len(self.problems)
        if number is not None:
            self.add("schedule", "it takes `schedule` or `cron`, not both")
        wrong_cron = check_cron(cron) if isinstance(cron, str) else "it takes a cron line"
        wrong_zone = check_timezone(timezone) if isinstance(timezone, str) else "it takes a time zone"
        for path, message in (("cron", wrong_cron), ("timezone", wrong_zone)):
            if message:
                self.add(path, message)
        if len(self.problems) > before:
            return Schedule(cron="@daily")
        return Schedule(cron=str(cron), timezone=str(timezone))

    def instant(self, key: str, zone: str, read: Callable[[str, str], datetime]) -> datetime:
        value = self._body.get(key)
        try:
            if isinstance(value, str) and (found := read(value, zone)).year >= _FIRST_YEAR:
                return found
        except (ValueError, OverflowError):
            pass
        self.add(key, "it takes a day or a time such as 2026-03-01 or 2026-03-01T09:30:00Z")
        return last_instant("1970-01-01", "UTC")

    def number(self, key: str, least: int, most: int) -> int:
        value = self._body.get(key, least)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.add(key, f"it takes a number from {least} to {most}")
        return least

    def flag(self, key: str) -> bool:
        value = self._body.get(key, False)
        if not isinstance(value, bool):
            self.add(key, "it takes true or false")
        return value is True


def _slots(connection: Connection, found: Deployment, asked: _Asked) -> tuple[list[datetime], list[datetime]]:
    """(those to run, in their order; those that ran already). Raises Refusal where there are too many."""
    every = list(islice(_between(asked), MOST_SLOTS + 1))
    if len(every) > MOST_SLOTS:
        until = rfc3339(every[MOST_SLOTS - 1])
        message = (
            f"{said(asked.schedule)} has more than {MOST_SLOTS:,} slots in this range: it fits up to {until}"
        )
        raise wrong("keys of the body", [{"path": "to", "message": message}])
    key = schedule_key(asked.schedule)
    ran: set[datetime] = set()
    if every and not asked.again:
        within = (every[0], every[-1])
        ran = backfills.ran(connection, found.id, key, said(asked.schedule), within)
    if asked.reverse:
        every.reverse()
    return [at for at in every if at not in ran], [at for at in every if at in ran]


def _between(asked: _Asked) -> Iterator[datetime]:
    after = fires(asked.schedule, asked.begin - timedelta(microseconds=1))
    return takewhile(lambda at: at <= asked.end, after)


def _check_some(
    wanted: Sequence[datetime], left_out: Sequence[datetime], asked: _Asked, found: Deployment
) -> None:
    if wanted:
        return
    words = said(asked.schedule)
    if left_out:
        message = (
            f"all {len(left_out)} slots of {words} in this range ran already; `again` runs them once more"
        )
        raise Refusal(Kind.CONFLICT, f"Nothing is left to run of {found.name}: {message}.")
    message = f"{words} has no slot of the past between these times"
    raise wrong("keys of the body", [{"path": "from", "message": message}])


def _new(found: Deployment, asked: _Asked, actor: str) -> NewBackfill:
    return NewBackfill(
        id=new_id(),
        deployment_id=found.id,
        schedule=schedule_key(asked.schedule),
        said=said(asked.schedule),
        timezone=asked.schedule.timezone,
        input=asked.schedule.input,
        from_at=asked.begin,
        until_at=asked.end,
        max_parallel=asked.max_parallel,
        reverse=asked.reverse,
        actor=actor,
    )


def _find(connection: Connection, found: Deployment, call: Call) -> BackfillRow:
    text = call.path["id"].lower()
    rows = backfills.list_backfills(connection, found.id, None, 1, only=text) if is_run_id(text) else []
    if not rows:
        raise not_found(
            f"{found.name} has no backfill {text!r:.80}. `weft backfills {found.name}` lists them."
        )
    return rows[0]


def _json(row: BackfillRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "schedule": row.said,
        "timezone": row.timezone,
        "from": rfc3339(row.from_at),
        "to": rfc3339(row.until_at),
        "maxParallel": row.max_parallel,
        "reverse": row.reverse,
        "state": row.state,
        "reason": row.reason,
        "slots": row.total,
        "begun": row.begun,
        "ended": row.ended,
        "actor": row.actor,
        "createdAt": rfc3339(row.created_at),
        "endedAt": rfc3339(row.ended_at),
    }
