"""Running an ended run once more, as a new run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.mistakes import did_you_mean
from schemas.pattern import JSON
from store import run_reads
from store.admission import Answer
from store.database import Connection, Database
from store.deployments import Deployment, get_deployment
from store.drafts import TooManyTestsError
from store.ids import new_id
from store.replays import Replay, repeat_test, replay
from store.run_reads import RunDetail
from store.runs import RunStatus
from web.api.again import has_begun, kept_rows, parse_path, written_path
from web.api.inputs import check_input, input_text
from web.api.query import wrong
from web.api.resource import Call
from web.api.runs import Runs, check_may_touch, find_run
from web.api.starting import Ring, changing, check_admitted, check_open
from web.api.testing import too_many_tests
from web.contents import Content, Contents
from web.problems import Kind, Refusal

TRIES = 3
"""How often it begins anew because something else went live while it was checked."""


class Wanted(NamedTuple):
    """From where (`start`, `failed`, a node's path), on which version, with which input if not its own; by whom.

    `letter`: only what is still in the inbox of dead letters.
    """

    start: str
    live: bool
    user: str
    body: Mapping[str, JSON]
    letter: bool = False


class Repeated(NamedTuple):
    """The id of the new run, and the runs to ring for."""

    run: str
    ring: list[str]


class Repeating:
    def __init__(self, database: Database, contents: Contents, runs: Runs, ring: Ring) -> None:
        self._database = database
        self._contents = contents
        self._runs = runs
        self._ring = ring

    def retry(self, call: Call) -> JSON:
        """The new run of the one that the path names."""
        wanted = wanted_of(call)
        with self._database.connection() as connection:
            run = find_run(connection, call)
            check_may_touch(call, run)
            new, ring = self.repeat(connection, call.identity.organisation, run, wanted)
            self._ring(ring)
            return self._runs.brief(connection, call.identity.organisation, new)

    def repeat(self, connection: Connection, organisation: str, run: RunDetail, wanted: Wanted) -> Repeated:
        """Raises Refusal, AlreadySettledError."""
        if run.deployment is None:
            return self._repeat_test(connection, organisation, run, wanted)
        for _ in range(TRIES):
            new = self._replay(connection, organisation, run, wanted)
            verdict = replay(connection, new)
            if verdict is None:
                continue
            check_admitted(verdict, run.deployment)
            ready = [new.id] if verdict.answer is Answer.PENDING else []
            return Repeated(new.id, [*ready, *verdict.ring])
        raise changing()

    def _repeat_test(
        self, connection: Connection, organisation: str, run: RunDetail, wanted: Wanted
    ) -> Repeated:
        """Another test run of the same draft."""
        _check_ended(run, wanted)
        if wanted.live:
            raise Refusal(Kind.NOT_HERE, "This is a test run: it has no live version. Retry it on its own.")
        new = self._new(connection, run, wanted, run.version_id)
        try:
            repeat_test(connection, organisation, new)
        except TooManyTestsError:
            raise too_many_tests() from None
        return Repeated(new.id, [new.id])

    def _replay(self, connection: Connection, organisation: str, run: RunDetail, wanted: Wanted) -> Replay:
        assert run.deployment is not None, "tests are repeated otherwise"
        deployment = get_deployment(connection, organisation, run.deployment)
        assert deployment is not None
        _check_repeatable(run, deployment, wanted)
        version = run.version_id
        if wanted.live:
            assert deployment.version is not None, "what is active has a version"
            version = deployment.version.version_id
        return self._new(connection, run, wanted, version)

    def _new(self, connection: Connection, run: RunDetail, wanted: Wanted, version: str) -> Replay:
        content = self._contents.get(connection, version)
        text = _checked_input(wanted, content)
        attempt = run_reads.last_attempt(connection, run.id) or 1
        kept = _kept(connection, run, attempt, content, wanted.start)
        if text is not None:
            _check_not_approved(kept, content)
        self._check_hidden(connection, kept, run.version_id, version)
        return Replay(
            id=new_id(),
            of=run.id,
            version=version if wanted.live else None,
            input=text,
            actor=wanted.user,
            attempt=attempt,
            kept=kept,
            start=wanted.start,
            letter=wanted.letter,
        )

    def _check_hidden(self, connection: Connection, kept: Mapping[str, str], old: str, new: str) -> None:
        """What one version keeps secret is not shown because another does not. Raises Refusal."""
        shown = self._contents.hidden(connection, old) - self._contents.hidden(connection, new)
        if not shown:
            return
        places = ((path, parse_path(path)) for path in kept)
        found = [path for path, place in places if place and written_path(place) in shown]
        if found:
            said = (
                f"{min(found)} is secret in the version that this run had, and not in the live one, which would"
                " show what it gave: retry it on its own version, or from the start"
            )
            raise wrong("keys of the body", [{"path": "version", "message": said}])


def wanted_of(call: Call, *, letter: bool = False) -> Wanted:
    """What a body asks for. Raises Refusal."""
    start, version = _retry_options(call.body)
    return Wanted(start, version == "live", call.identity.user, call.body, letter)


def _checked_input(wanted: Wanted, content: Content) -> str | None:
    if "input" not in wanted.body:
        return None
    text = input_text(wanted.body["input"])
    check_input(content, wanted.body["input"])
    return text


def _check_ended(run: RunDetail, wanted: Wanted) -> None:
    if not run.ended:
        raise Refusal(
            Kind.RUN_NOT_ENDED, f"This run is {run.status}. Wait for its end, or cancel it, then retry it."
        )
    if wanted.start == "failed" and run.status is RunStatus.COMPLETED:
        raise Refusal(
            Kind.NOTHING_FAILED, "This run completed. Retry it from the start, or from a node by its path."
        )


def _check_repeatable(run: RunDetail, deployment: Deployment, wanted: Wanted) -> None:
    _check_ended(run, wanted)
    check_open(deployment)
    if wanted.live and run.pattern != deployment.pattern:
        raise Refusal(
            Kind.NOT_HERE,
            f"This run is of {run.pattern}, {deployment.name} is live with {deployment.pattern}."
            " Retry it on its own version, or retry the run that called it.",
        )


def _check_not_approved(kept: Mapping[str, str], content: Content) -> None:
    """What people approved of one input is not done with another. Raises Refusal."""
    places = ((path, parse_path(path)) for path in kept)
    found = [path for path, place in places if place and content.nodes[written_path(place)].uses == "approve"]
    if found:
        said = (
            f"{min(found)} was approved with the input that the run had: retry from there, or from the start"
        )
        raise wrong("keys of the body", [{"path": "input", "message": said}])


def _kept(
    connection: Connection, run: RunDetail, attempt: int, content: Content, start: str
) -> Mapping[str, str]:
    """What counts as done → its path in the new run. Raises Refusal."""
    if start == "start":
        return {}
    journal = run_reads.done(connection, run.id, attempt)
    place = None if start == "failed" else parse_path(start)
    if start != "failed":
        wrong_start = None
        if place is None or written_path(place) not in content.nodes:
            hint = did_you_mean(start, sorted(content.nodes))
            wrong_start = f"{content.pattern.name} has no such node. {hint}"
        elif not has_begun(place, journal):
            wrong_start = "this run has had no such round or item. `weft log` lists them"
        if wrong_start:
            raise wrong("keys of the body", [{"path": "from", "message": wrong_start}])
    return kept_rows(journal, content.pattern.nodes, place)


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
