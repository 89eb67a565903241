"""Starting, cancelling and repeating runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from runner.state import dump
from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from schemas.times import timestamp
from store import run_reads, runs, schedules, wakeups
from store.database import Connection, Database
from store.deployments import UNDEPLOYED, Deployment, get_deployment
from store.ids import new_id
from store.replays import Replay, replay
from store.run_reads import RunDetail
from store.runs import NewRun, RunStatus
from web.api.again import Done, kept_before, kept_behind_failure
from web.api.contents import Content, Contents
from web.api.deployments import find_deployment
from web.api.encoding import Answer
from web.api.inputs import check_input, input_text
from web.api.query import wrong
from web.api.resource import Call
from web.api.runs import Runs, find_run
from web.api.waiting import EndedRuns
from web.problems import Kind, Refusal

Ring = Callable[[Sequence[str]], None]
"""Announces runs to workers; never raises."""

TRIES = 3
"""How often a start begins anew because something else went live while it was checked."""


class _MovedOn(Exception):
    """Another version went live after the input was checked against the one before."""


class Starting:
    def __init__(self, database: Database, contents: Contents, runs: Runs, ring: Ring) -> None:
        self._database = database
        self._contents = contents
        self._runs = runs
        self._ring = ring
        self._ended = EndedRuns(database)

    async def start(self, call: Call) -> Response:
        """202 with the run; with `wait`, 200 with the ended one if it ends in that time."""
        run = await run_in_threadpool(self._start, call)
        if call.query["wait"] is None:
            return Answer(run, 202)
        await self._ended.wait(run["id"], call.query["wait"])
        run = await run_in_threadpool(self._again, call, run["id"])
        return Answer(run, 200 if run["endedAt"] else 202)

    def cancel(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            run = find_run(connection, call)
            ring = wakeups.cancel(connection, run.id)
            if ring is None:
                status = _current(connection, call, run).status
                raise Refusal(Kind.RUN_ENDED, f"This run is {status}: there is nothing left of it to cancel.")
            self._ring(ring)
            return self._runs.brief(connection, call.identity.organisation, run.id)

    def retry(self, call: Call) -> JSON:
        start, version = _retry_options(call.body)
        for _ in range(TRIES):
            with self._database.connection() as connection:
                wanted = self._replay(connection, call, start=start, live=version == "live")
                if replay(connection, wanted):
                    self._ring([wanted.id])
                    return self._runs.brief(connection, call.identity.organisation, wanted.id)
        raise _changing()

    def _again(self, call: Call, run: str) -> Any:
        with self._database.connection() as connection:
            return self._runs.brief(connection, call.identity.organisation, run)

    def _start(self, call: Call) -> Any:
        for _ in range(TRIES):
            try:
                with self._database.transaction() as connection:
                    run = self._accept(connection, call)
                    answer = self._runs.brief(connection, call.identity.organisation, run)
            except _MovedOn:
                continue
            self._ring([run])
            return answer
        raise _changing()

    def _accept(self, connection: Connection, call: Call) -> str:
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
        )
        accepted = runs.accept(connection, [run])
        if not accepted or run_reads.version_of(connection, run.id) != deployment.version.version_id:
            raise _MovedOn
        return run.id

    def _replay(self, connection: Connection, call: Call, *, start: str, live: bool) -> Replay:
        run = find_run(connection, call)
        deployment = get_deployment(connection, call.identity.organisation, run.deployment)
        assert deployment is not None
        _check_repeatable(run, deployment, start=start, live=live)
        version = run.version_id
        if live:
            assert deployment.version is not None, "what is active has a version"
            version = deployment.version.version_id
        content = self._contents.get(connection, version)
        text = self._checked_input(call, content)
        attempt = run_reads.last_attempt(connection, run.id) or 1
        return Replay(
            id=new_id(),
            of=run.id,
            version=version if live else None,
            input=text,
            actor=call.identity.user,
            attempt=attempt,
            kept=() if start == "start" else _kept(connection, run, attempt, content, start),
        )

    def _checked_input(self, call: Call, content: Content) -> str | None:
        if "input" not in call.body:
            return None
        text = input_text(call.body["input"])
        check_input(content, call.body["input"])
        return text


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


def _check_repeatable(run: RunDetail, deployment: Deployment, *, start: str, live: bool) -> None:
    if not run.ended:
        raise Refusal(
            Kind.RUN_NOT_ENDED, f"This run is {run.status}. Wait for its end, or cancel it, then retry it."
        )
    check_open(deployment)
    if start == "failed" and run.status is RunStatus.COMPLETED:
        raise Refusal(
            Kind.NOTHING_FAILED, "This run completed. Retry it from the start, or from a node by its path."
        )
    if live and run.pattern != deployment.pattern:
        raise Refusal(
            Kind.NOT_HERE,
            f"This run is of {run.pattern}, {deployment.name} is live with {deployment.pattern}."
            " Retry it on its own version, or retry the run that called it.",
        )


def _kept(
    connection: Connection, run: RunDetail, attempt: int, content: Content, start: str
) -> Sequence[str]:
    journal = [Done(row.path, row.status) for row in run_reads.nodes(connection, run.id, attempt)]
    kept = kept_behind_failure(journal, content.nodes)
    if start == "failed":
        return sorted(kept)
    if start not in content.nodes:
        hint = did_you_mean(start, sorted(content.nodes))
        message = f"{content.pattern.name} has no such node. {hint}"
        raise wrong("keys of the body", [{"path": "from", "message": message}])
    return sorted(kept_before(start, content.pattern.nodes, kept))


def _retry_options(body: Mapping[str, JSON]) -> tuple[str, str]:
    start, version = body.get("from", "start"), body.get("version", "same")
    problems = []
    if not isinstance(start, str) or not 1 <= len(start) <= 1000:
        message = "it takes start, failed, or the path of a node"
        problems.append({"path": "from", "message": message})
    if version not in ("same", "live"):
        problems.append({"path": "version", "message": "it takes same or live"})
    if problems:
        raise wrong("keys of the body", problems)
    return start, version


def _kind(body: Mapping[str, JSON]) -> str:
    """`manual` is what somebody started by hand, through this API as well."""
    kind = body.get("trigger", "api")
    if kind not in ("api", "manual"):
        raise wrong("keys of the body", [{"path": "trigger", "message": "it takes api or manual"}])
    return str(kind)


def _current(connection: Connection, call: Call, run: RunDetail) -> RunDetail:
    return run_reads.get_run(connection, call.identity.organisation, run.id) or run


def _changing() -> Refusal:
    return Refusal(
        Kind.UNAVAILABLE,
        "The deployment is changing right now. Nothing was started.",
        headers={"Retry-After": "1"},
    )
