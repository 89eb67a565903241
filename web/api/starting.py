"""Starting and cancelling runs."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from schemas.json_text import dump
from schemas.pattern import JSON
from schemas.times import timestamp
from store import admission, run_reads, schedules, wakeups
from store.admission import Answer as Verdicts
from store.admission import Verdict
from store.database import Connection, Database
from store.deployments import UNDEPLOYED, Deployment
from store.ids import new_id
from store.run_keys import Once
from store.run_reads import RunDetail
from store.runs import NewRun
from web.api.deployments import find_deployment
from web.api.encoding import Answer
from web.api.inputs import check_input, input_text
from web.api.query import wrong
from web.api.resource import Call
from web.api.runs import Runs, check_may_touch, find_run
from web.contents import Contents
from web.problems import Kind, Refusal
from web.waiting import Waiting

Ring = Callable[[Sequence[str]], None]
"""Announces runs to workers; never raises."""

TRIES = 3
"""How often a start begins anew because something else went live while it was checked."""

LOOK = 0.05
"""Seconds between two looks while somebody waits for a run to end: of most no notification tells."""

LONGEST_KEY = 255
"""Characters of an `Idempotency-Key`."""

_DECIDED = (Verdicts.FULL, Verdicts.CIRCUIT_OPEN, Verdicts.REPEATED, Verdicts.OTHER_BODY)


class _MovedOn(Exception):
    """Another version went live after the input was checked against the one before."""


class Starting:
    def __init__(self, database: Database, contents: Contents, runs: Runs, ring: Ring) -> None:
        self._database = database
        self._contents = contents
        self._runs = runs
        self._ring = ring
        self._ended = Waiting(database, run_reads.ended, LOOK)

    async def start(self, call: Call) -> Response:
        """202 with the run; with `wait`, 200 with the ended one if it ends in that time. Whoever comes again with
        their `Idempotency-Key` gets the run that they started before.
        """
        run, repeated = await run_in_threadpool(self._start, call)
        headers = {"Idempotent-Replayed": "true"} if repeated else {}
        if call.query["wait"] is None:
            return Answer(run, 202, headers)
        with self._ended.expecting(run["id"]) as ended:
            await asyncio.wait([ended], timeout=call.query["wait"])
        run = await run_in_threadpool(self._again, call, run["id"])
        return Answer(run, 200 if run["endedAt"] else 202, headers)

    def leave(self) -> None:
        """Answer whoever waits with how their run stands."""
        self._ended.leave()

    def cancel(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            run = find_run(connection, call)
            check_may_touch(call, run)
            ring = wakeups.cancel(connection, run.id)
            if ring is None:
                status = _current(connection, call, run).status
                raise Refusal(Kind.RUN_ENDED, f"This run is {status}: there is nothing left of it to cancel.")
            self._ring(ring)
            return self._runs.brief(connection, call.identity.organisation, run.id)

    def _again(self, call: Call, run: str) -> Any:
        with self._database.connection() as connection:
            return self._runs.brief(connection, call.identity.organisation, run)

    def _start(self, call: Call) -> tuple[Any, bool]:
        """The run, and whether it had been started before."""
        for _ in range(TRIES):
            try:
                with self._database.transaction() as connection:
                    run, verdict = self._accept(connection, call)
                    found = verdict.first if verdict.answer is Verdicts.REPEATED else run
                    answer = None
                    if verdict.accepted or found != run:
                        answer = self._runs.brief(connection, call.identity.organisation, found or run)
            except _MovedOn:
                continue
            check_admitted(verdict, call.path["name"])
            self._ring([*([run] if verdict.answer is Verdicts.PENDING else []), *verdict.ring])
            return answer, found != run
        raise changing()

    def _accept(self, connection: Connection, call: Call) -> tuple[str, Verdict]:
        deployment = find_deployment(connection, call)
        check_open(deployment)
        assert deployment.version is not None, "what is active has a version"
        value, kind = call.body.get("input"), _kind(call.body)
        text = input_text(value) if "input" in call.body else None
        check_input(self._contents.get(connection, deployment.version.version_id), value)
        run = NewRun(
            id=new_id(),
            deployment_id=deployment.id,
            kind=kind,
            trigger=dump({"kind": kind, "time": timestamp(schedules.clock(connection).timestamp())}),
            input=text,
            actor=call.identity.user,
            once=_once(call, kind, text),
        )
        verdict = admission.admit(connection, [run])[run.id]
        if verdict.answer in _DECIDED:
            return run.id, verdict
        if not verdict.accepted or run_reads.version_of(connection, run.id) != deployment.version.version_id:
            raise _MovedOn
        return run.id, verdict


def _once(call: Call, kind: str, given: str | None) -> Once | None:
    """Keys are everybody's own."""
    if call.key is None:
        return None
    if not 1 <= len(call.key) <= LONGEST_KEY or not call.key.isprintable():
        detail = f"`Idempotency-Key` takes 1 to {LONGEST_KEY} printable characters."
        raise Refusal(Kind.INVALID, detail)
    body = hashlib.sha256(f"{kind}\0{given}".encode()).digest()
    return Once.of(f"api {call.identity.user}", call.key.encode(), body)


def check_open(deployment: Deployment) -> None:
    """Raises Refusal for a deployment that takes no runs."""
    name = deployment.name
    if deployment.state == "paused":
        raise Refusal(
            Kind.PAUSED,
            f"{name} is paused. Set `state: active` in its file and push; runs can be started then.",
        )
    if deployment.state == "archived":
        raise Refusal(Kind.ARCHIVED, f"{name} is archived, for good. Deploy its pattern under another name.")
    if deployment.state == UNDEPLOYED:
        raise Refusal(
            Kind.UNDEPLOYED,
            f"{name} is not deployed: its file is gone or asks for what cannot be had."
            f" `weft deployment {name}` says which.",
        )


def check_admitted(verdict: Verdict, name: str) -> None:
    """Raises Refusal for a run that its deployment's limit or circuit did not let in."""
    if verdict.answer is Verdicts.FULL:
        detail = f"As many runs of {name} are at work as its `concurrency` allows. Wait, or cancel one."
        raise Refusal(Kind.FULL, detail)
    if verdict.answer is Verdicts.OTHER_BODY:
        detail = f"This `Idempotency-Key` came with another body before, and started the run {verdict.first}."
        raise Refusal(Kind.OTHER_BODY, detail)
    if verdict.answer is Verdicts.CIRCUIT_OPEN:
        after = str(max(1, math.ceil(verdict.retry_after or 1)))
        detail = (
            f"Too many runs of {name} failed: its circuit is open. `weft deployment {name}` says of what;"
            f" `weft resume {name}` closes it."
        )
        raise Refusal(Kind.CIRCUIT_OPEN, detail, headers={"Retry-After": after})


def _kind(body: Mapping[str, JSON]) -> str:
    """`manual` is what somebody started by hand, through this API as well."""
    kind = body.get("trigger", "api")
    if kind not in ("api", "manual"):
        raise wrong("keys of the body", [{"path": "trigger", "message": "it takes api or manual"}])
    return str(kind)


def _current(connection: Connection, call: Call, run: RunDetail) -> RunDetail:
    return run_reads.get_run(connection, call.identity.organisation, run.id) or run


def changing() -> Refusal:
    return Refusal(
        Kind.UNAVAILABLE,
        "The deployment is changing right now. Nothing was started.",
        headers={"Retry-After": "1"},
    )
