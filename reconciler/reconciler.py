"""Pushes, and bringing the database to what the refs say: everything under one lock per organisation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from reconciler.actions import ActionRefusedError, Why
from reconciler.actor import Actor
from reconciler.answer import PushOutcome, forbidden, live_lines, refusal, review_lines
from reconciler.apply import Applying, apply, remembered
from reconciler.authoring import Request, write
from reconciler.gate import commit_problems, landing_problems, problem_lines, refused_refs
from reconciler.landing import Known, Landing, land, view_of
from reconciler.moves import moves_of, moves_since
from reconciler.proposal import UnreadableCommitError, propose
from reconciler.protection import Refused, project_of, refused_moves
from reconciler.quarantine import migrate
from reconciler.reader import Reader
from reconciler.recollection import Recollection, stored_live
from reconciler.repository import (
    ABSENT,
    BRANCHES,
    GitError,
    RefConflictError,
    RefUpdate,
    Repository,
    UnmergeableError,
    digest,
)
from reconciler.session import Session, Sessions
from reconciler.snapshot import TooManyDocumentsError, problems
from reconciler.steps import Action, Plan, VersionRef
from reconciler.tokens import hook_token
from reconciler.view import View
from schemas.pattern import JSON
from schemas.problems import Problem
from store.database import Database
from store.ref_moves import Move, last_known, record_moves
from store.repositories import RepositoryState, repository_state
from store.versions import forget_freezes

__all__ = ["Actor", "Done", "PushOutcome", "Reconciled", "Reconciler", "RefUpdate", "RepositoryLostError"]

LOOK_BACK = 500  # commits searched for the last good version of what the database does not know
MOST_REVIEWS = 5  # branches of one push that are compared with the default branch


class RepositoryLostError(GitError):
    """The database knows more than the repository: a lost folder must not undeploy everything."""


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """`changed`: something was written. `problems` are those of the default branch's head."""

    changed: bool
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Done:
    """An action that is live: the commit that says it, or that the moved tag now holds."""

    commit: str
    ref: str
    plan: Plan
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Push:
    updates: Sequence[RefUpdate]
    quarantine: Path | None
    pusher: Actor
    started: float
    describes: bool = False  # somebody reads the plan itself, and not only its lines


@dataclass(frozen=True, kw_only=True)
class _Cause:
    """Who moved which refs, and what is wrong with the head that got in all the same."""

    user: str | None = None
    moves: Sequence[Move]
    problems: tuple[Problem, ...]


class Reconciler:
    """The one that makes commits live. Safe for any number of threads and processes on the same data."""

    def __init__(
        self,
        database: Database,
        git: Path,
        *,
        installation_key: bytes,
        public_url: str,
        announce: Callable[[], None] = lambda: None,
    ) -> None:
        """`git` is the folder of the repositories, `{organisation}.git` each. `announce` is called when something
        else is live, before the pusher hears of it; other processes are notified by the database.
        """
        self._sessions = Sessions(database, git)
        self._git = git
        self._key = installation_key
        self._public_url = public_url.rstrip("/")
        self._announce = announce
        self._recollection = Recollection()

    def ensure(self, organisation: str) -> Path:
        """The organisation's repository, made if it is not there."""
        return Repository.ensure(self._git / f"{organisation}.git").path

    def organisations(self) -> list[str]:
        """Those that have a repository."""
        return sorted(folder.name.removesuffix(".git") for folder in self._git.glob("*.git"))

    def push(
        self, organisation: str, updates: Sequence[RefUpdate], *, quarantine: Path | None, pusher: Actor
    ) -> PushOutcome:
        """Check, move the refs, make it live: all or nothing. The quarantine stays the caller's to delete."""
        push = _Push(updates=updates, quarantine=quarantine, pusher=pusher, started=time.perf_counter())
        with self._sessions.open(organisation, quarantine) as session:
            known = self._caught_up(session, restoring=updates)
            refused = refused_refs(updates, session, known.head)
            held = _held(session, known, push)
            if held.reasons:
                return forbidden(updates, held, refused)
            if refused:
                return refusal(updates, refused)
            try:
                return self._land(session, known, push)
            except TooManyDocumentsError as error:
                return refusal(updates, {update.ref: error.reason.message for update in updates})

    def act(self, organisation: str, request: Request) -> Done:
        """Do it as a commit or a moved tag, and make that live. Raises ActionRefusedError: nothing has changed."""
        started = time.perf_counter()
        with self._sessions.open(organisation) as session:
            known = self._caught_up(session)
            update = write(request, session, known)
            actor = Actor(user=request.author.name, admin=request.author.admin)
            push = _Push(updates=[update], quarantine=None, pusher=actor, started=started, describes=True)
            held = _held(session, known, push)
            if held.reasons:
                raise ActionRefusedError(Why.FORBIDDEN, "\n".join(held.lines))
            refused = refused_refs(push.updates, session, known.head)
            outcome = refusal(push.updates, refused) if refused else self._land(session, known, push)
            if outcome.plan is None:
                raise ActionRefusedError(Why.INVALID, "\n".join(outcome.lines))
            commit = session.repository.commit(update.new).id
            return Done(commit=commit, ref=update.ref, plan=outcome.plan, lines=outcome.lines)

    def reconcile(self, organisation: str) -> Reconciled:
        """Bring the database to what the refs say. Cheap when nothing has changed; safe at any time.

        Raises RepositoryLostError.
        """
        with self._sessions.open(organisation) as session:
            state = repository_state(session.connection, organisation)
            if _in_step(state, session.refs):
                return Reconciled(changed=False)
            return self._catch_up(session, self._recollection.recall(session, state))

    def remember(self, organisation: str) -> None:
        """Read the head now, so that the first push after a start need not wait for that."""
        with self._sessions.open(organisation) as session:
            self._caught_up(session)

    def rebuild(self, organisation: str) -> Reconciled:
        """Versions and deployments anew from Git alone; runs and revisions stay."""
        with self._sessions.open(organisation) as session:
            self._recollection.forget(organisation)
            try:
                with session.connection.transaction():
                    forget_freezes(session.connection, organisation)
                    known = self._recollection.recall(session, None)
                    live = {name: replace(one, tried=None) for name, one in stored_live(session).items()}
                    return self._catch_up(session, replace(known, live=live))
            except BaseException:
                # Whatever was remembered on the way was never committed.
                self._recollection.forget(organisation)
                raise

    def plan(self, organisation: str, base: str | None, head: str | None) -> Plan:
        """What a commit would change. `base` None: against what is live; `head` None: the default branch's.

        A head that is behind its base is merged into it first. Raises UnknownRevisionError, UnmergeableError,
        TooManyDocumentsError, UnreadableCommitError: what cannot be read has no plan.
        """
        with self._sessions.open(organisation) as session:
            known = self._caught_up(session)
            target = session.repository.find(session.default_ref if head is None else head)
            start = None if base is None else session.repository.find(base)
            with session.repository.scratch() as scratch:
                view = view_of(known, scratch, session.refs, session.default_ref)
                landing = propose(known, view, target, start)
                found = commit_problems(landing, known)
            if found:
                raise UnreadableCommitError(target.id, tuple(sorted(found)))
            return landing.described(session.stored, datetime.now(UTC))

    def _caught_up(self, session: Session, *, restoring: Sequence[RefUpdate] = ()) -> Known:
        """What is known, after finishing for a push that died between its refs and the database.

        A lost default branch is left to the push that brings it back.
        """
        state = repository_state(session.connection, session.organisation)
        known = self._recollection.recall(session, state)
        lost = session.default_ref not in session.refs
        if _in_step(state, session.refs) or (lost and any(u.ref == session.default_ref for u in restoring)):
            return known
        self._catch_up(session, known)
        return self._recollection.recall(session, repository_state(session.connection, session.organisation))

    def _catch_up(self, session: Session, known: Known) -> Reconciled:
        if session.default_ref not in session.refs and (known.head or known.live):
            raise RepositoryLostError(
                f"The repository of {session.organisation} has no {session.default_ref.removeprefix(BRANCHES)}, "
                "but the database has deployments of it: restore the folder `git` of the data folder, "
                "or push the branch."
            )
        view = view_of(known, session.repository, session.refs, session.default_ref)
        landing = land(known, replace(view, look_back=LOOK_BACK))
        found = problems(landing.view.snapshot, view.reader)
        moves = moves_since(last_known(session.connection, session.organisation), session.refs)
        self._write(session, known, landing, _Cause(moves=moves, problems=found))
        return Reconciled(changed=True, plan=landing.plan, problems=found)

    def _land(self, session: Session, known: Known, push: _Push) -> PushOutcome:
        """Refuse, or move the objects, then the refs, then what is live."""
        refs = _moved(session.refs, push.updates)
        landing = land(known, view_of(known, session.repository, refs, session.default_ref))
        if refs.get(session.default_ref) != session.refs.get(session.default_ref):
            wrong = landing_problems(landing, known)
            if wrong:
                return refusal(
                    push.updates, {session.default_ref: problem_lines(wrong)[0].rstrip(":")}, wrong
                )
        reviews = self._reviews(session, remembered(known, landing, 0, clean=known.clean), refs, push)
        plan = landing.described(session.stored, datetime.now(UTC)) if push.describes else landing.plan
        if push.quarantine is not None:
            migrate(push.quarantine, session.repository.path / "objects")
        try:
            session.repository.update_refs(push.updates)
        except RefConflictError as error:
            return refusal(push.updates, {update.ref: str(error) for update in push.updates})
        lines = (*self._make_live(session, known, landing, push), *reviews)
        return PushOutcome(lines=lines, plan=plan)

    def _make_live(self, session: Session, known: Known, landing: Landing, push: _Push) -> list[str]:
        # The objects have moved: a repository of its own looks for them where they are now.
        repository = Repository(session.repository.path)
        reader = Reader(repository, known.memory)
        settled = replace(landing, view=replace(landing.view, reader=reader))
        moved = replace(session, repository=repository, refs=landing.view.refs)
        try:
            problems_left = _left_problems(known, settled)
            cause = _Cause(user=push.pusher.user, moves=moves_of(push.updates), problems=problems_left)
            self._write(moved, known, settled, cause)
        except psycopg.Error as error:
            self._recollection.forget(session.organisation)
            return [
                f"pushed, but not live yet: the database says {error}; it is tried again within half a minute"
            ]
        milliseconds = (time.perf_counter() - push.started) * 1000
        return live_lines(landing, milliseconds, self._hooks(session, landing))

    def _write(self, session: Session, known: Known, landing: Landing, cause: _Cause) -> None:
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
            record_moves(session.connection, session.organisation, cause.moves, cause.user)
        self._announce()
        self._recollection.keep(session.organisation, remembered(known, landing, generation, clean=clean))

    def _reviews(self, session: Session, known: Known, refs: Mapping[str, str], push: _Push) -> list[str]:
        """What the push's other branches would do, merged into the default one."""
        moved = [u for u in push.updates if u.ref.startswith(BRANCHES) and u.new != ABSENT]
        branches = [u for u in moved if u.ref != session.default_ref]
        if not branches:
            return []
        with session.repository.scratch() as scratch:
            view = view_of(known, scratch, refs, session.default_ref)
            lines = [line for u in branches[:MOST_REVIEWS] for line in self._review(session, known, view, u)]
        unsaid = [u.ref.removeprefix(BRANCHES) for u in branches[MOST_REVIEWS:]]
        return [
            *lines,
            *(f"{branch}: `weft plan --head {branch}` says what it would change" for branch in unsaid),
        ]

    def _review(self, session: Session, known: Known, view: View, update: RefUpdate) -> list[str]:
        branch, default = (ref.removeprefix(BRANCHES) for ref in (update.ref, session.default_ref))
        try:
            landing = propose(known, view, session.repository.commit(update.new))
        except UnmergeableError as error:
            return [f"{branch}: this cannot be merged into {default}: {error}"]
        found = landing_problems(landing, known)
        plan = landing.plan if found else landing.described(session.stored, datetime.now(UTC))
        return review_lines(branch, default, found, plan)

    def _hooks(self, session: Session, landing: Landing) -> dict[str, str]:
        created = (step for step in landing.plan.steps if step.action == Action.CREATE and step.version_to)
        content = landing.content(session.stored)
        listening = (step.name for step in created if _listens(step.version_to, content))
        base = f"{self._public_url}/hooks"
        return {name: f"{base}/{hook_token(self._key, session.organisation, name)}" for name in listening}


def _held(session: Session, known: Known, push: _Push) -> Refused:
    """What its pusher may not move, by the default branch's head as it is before the push."""
    return refused_moves(push.updates, push.pusher, project_of(known.snapshot), session.default_ref)


def _left_problems(known: Known, landing: Landing) -> tuple[Problem, ...]:
    """Of a head that got in behind the gate: a push that leaves it where it is leaves its problems, too."""
    if known.clean or landing.plan.head != known.head:
        return ()
    return problems(landing.view.snapshot, landing.view.reader)


def _listens(version: VersionRef | None, content: Callable[[VersionRef], Mapping[str, JSON]]) -> bool:
    return version is not None and "webhook" in content(version)["spec"].get("on", {})


def _in_step(state: RepositoryState | None, refs: Mapping[str, str]) -> bool:
    return (state.refs_digest if state else digest({})) == digest(refs)


def _moved(refs: Mapping[str, str], updates: Sequence[RefUpdate]) -> dict[str, str]:
    moved = {**refs, **{update.ref: update.new for update in updates}}
    return {ref: object_id for ref, object_id in moved.items() if object_id != ABSENT}
