"""A push whose pusher may make it: refused, or its refs moved and what they hold made live, in this order."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

from reconciler.actor import Actor
from reconciler.answer import PushOutcome, live_lines, old_problem_lines, refusal
from reconciler.apply import Applying, apply, remembered
from reconciler.gate import landing_problems, left_problems, problem_lines
from reconciler.git.errors import RefConflictError
from reconciler.git.quarantine import migrate
from reconciler.git.refs import TAGS, RefUpdate, digest, refs_after
from reconciler.git.repository import Repository
from reconciler.landing import Known, Landing, land, view_of
from reconciler.moves import moves_of
from reconciler.plan_text import warning_lines
from reconciler.reader import Reader
from reconciler.recollection import Recollection
from reconciler.required_tests import RequiredTests, Tried
from reconciler.reviews.pushed import Looks, reviews
from reconciler.secret_warnings import described, warned
from reconciler.session import Session
from reconciler.steps import Action, VersionRef
from reconciler.tokens import hook_token
from schemas.pattern import JSON
from schemas.problems import Problem
from store.ref_moves import Move, record_moves


@dataclass(frozen=True, kw_only=True)
class Push:
    """Refs to move together, from anywhere. `started` is `time.perf_counter()` when it was asked for.

    `describes`: somebody reads the plan itself, and not only its lines.
    """

    updates: Sequence[RefUpdate]
    pusher: Actor
    started: float
    quarantine: Path | None = None
    describes: bool = False


@dataclass(frozen=True, kw_only=True)
class Cause:
    """Who moved which refs, and what is wrong with the head that got in all the same.

    `user` made what is live now so; `moved_by` is who moved the refs, where that is another.
    """

    user: str | None = None
    moved_by: str | None = None
    moves: Sequence[Move]
    problems: tuple[Problem, ...]


class Delivery:
    """Makes commits live. Used under the organisation's lock only."""

    def __init__(
        self,
        recollection: Recollection,
        installation_key: bytes,
        public_url: str,
        announce: Callable[[], None],
        tests: RequiredTests,
    ) -> None:
        self._recollection = recollection
        self._key = installation_key
        self._public_url = public_url.rstrip("/")
        self._announce = announce
        self._tests = tests

    def deliver(self, session: Session, known: Known, push: Push) -> PushOutcome:
        """Refuse, or move the objects, then the refs, then what is live."""
        refs = refs_after(session.refs, push.updates)
        landing = land(known, view_of(known, session.repository, refs, session.default_ref))
        tried: Tried | None = None
        if refs.get(session.default_ref) != session.refs.get(session.default_ref):
            wrong: Sequence[Problem] = landing_problems(landing, known)
            if not wrong:
                tried = self._tests.affected(landing, known, again=True)
                wrong = tried.problems if tried else ()
            if wrong:
                reason = problem_lines(wrong)[0].rstrip(":")
                return refusal(push.updates, {session.default_ref: reason}, wrong)
        ahead = remembered(known, landing, 0, clean=known.clean)
        looks = Looks(refs=refs, tests=self._tests, public_url=self._public_url)
        said = reviews(session, ahead, looks, push.updates)
        plan = described(landing, session) if push.describes else warned(landing, session)
        if push.quarantine is not None:
            migrate(push.quarantine, session.repository.path / "objects")
        try:
            session.repository.update_refs(push.updates)
        except RefConflictError as error:
            return refusal(push.updates, {update.ref: str(error) for update in push.updates})
        lines = [f"tests: {tried.text}"] if tried else []
        lines += self._make_live(session, known, landing, push)
        lines += warning_lines({"warnings": [warning.as_json() for warning in plan.warnings]})
        lines += [line for review in said for line in review.lines]
        return PushOutcome(lines=tuple(lines), plan=plan, reviews=said)

    def _make_live(self, session: Session, known: Known, landing: Landing, push: Push) -> list[str]:
        # The objects have moved: a repository of its own looks for them where they are now.
        repository = Repository(session.repository.path)
        reader = Reader(repository, known.memory)
        settled = replace(landing, view=replace(landing.view, reader=reader))
        moved = replace(session, repository=repository, refs=landing.view.refs)
        try:
            left = () if known.clean else left_problems(settled, known) + self._tests.left(settled, known)
            cause = Cause(user=push.pusher.user, moves=moves_of(push.updates), problems=left)
            self.write(moved, known, settled, cause)
        except psycopg.Error as error:
            self._recollection.forget(session.organisation)
            return [
                f"pushed, but not live yet: the database says {error}; it is tried again within half a minute"
            ]
        milliseconds = (time.perf_counter() - push.started) * 1000
        lines = live_lines(landing, milliseconds, self._hooks(session, landing))
        may_matter = any(u.ref == session.default_ref or u.ref.startswith(TAGS) for u in push.updates)
        quiet = ["nothing that is live has changed"] if may_matter else []
        return [*(lines or quiet), *old_problem_lines(left)]

    def write(self, session: Session, known: Known, landing: Landing, cause: Cause) -> None:
        """Bring the database to a landing whose refs have moved, and tell everybody."""
        applying = Applying(
            organisation=session.organisation,
            installation_key=self._key,
            actor=cause.user,
            digest=digest(session.refs),
            problems=cause.problems,
        )
        clean = not applying.problems
        with session.connection.transaction():
            generation = apply(session.connection, landing, applying)
            record_moves(session.connection, session.organisation, cause.moves, cause.moved_by or cause.user)
        self._announce()
        self._recollection.keep(session.organisation, remembered(known, landing, generation, clean=clean))

    def _hooks(self, session: Session, landing: Landing) -> dict[str, str]:
        created = (
            step for step in landing.plan.looked_at if step.action == Action.CREATE and step.version_to
        )
        content = landing.content(session.stored)
        listening = (step.name for step in created if _listens(step.version_to, content))
        base = f"{self._public_url}/hooks"
        return {name: f"{base}/{hook_token(self._key, session.organisation, name)}" for name in listening}


def _listens(version: VersionRef | None, content: Callable[[VersionRef], Mapping[str, JSON]]) -> bool:
    return version is not None and "webhook" in content(version)["spec"].get("on", {})
