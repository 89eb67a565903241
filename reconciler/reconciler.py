"""Pushes, and bringing the database to what the refs say: everything under one lock per organisation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from reconciler.actions.authoring import Request, write
from reconciler.actions.files import StoredFile, read_file
from reconciler.actions.ground import Ground
from reconciler.actions.requests import ActionRefusedError, Done, Why
from reconciler.actions.templates import templates_in
from reconciler.actor import Actor
from reconciler.answer import PushOutcome, forbidden, refusal
from reconciler.delivery import Cause, Delivery, Push
from reconciler.drafting import Drafted, DraftRequest, draft
from reconciler.gate import commit_problems, landing_problems, left_problems, refused_refs
from reconciler.git.errors import GitError, RefConflictError
from reconciler.git.refs import ABSENT, BRANCHES, RefUpdate, digest, refs_after
from reconciler.git.repository import Repository
from reconciler.landing import Known, land, view_of
from reconciler.moves import moves_since
from reconciler.proposal import Proposed, UnreadableCommitError, propose
from reconciler.protection import Refused, project_of, refused_moves
from reconciler.recollection import Recollection, stored_live
from reconciler.required_tests import NOT_TRIED, RequiredTests
from reconciler.reviews.desk import ReviewDesk
from reconciler.secret_warnings import described
from reconciler.session import Session, Sessions, UnknownSecrets, no_secret_is_unknown
from reconciler.snapshot import TooManyDocumentsError
from reconciler.steps import Plan
from schemas.documents import Document
from schemas.problems import Problem
from schemas.rehearsals import Examine
from store.database import Database
from store.ref_moves import last_known
from store.repositories import RepositoryState, repository_state
from store.versions import forget_freezes

LOOK_BACK = 500  # commits searched for the last good version of what the database does not know


class RepositoryLostError(GitError):
    """The database knows more than the repository: a lost folder must not undeploy everything."""


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    """`changed`: something was written. `problems` are those of the default branch's head."""

    changed: bool
    plan: Plan | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Takeover:
    """`refused`: ref → why it could not move."""

    refused: Mapping[str, str] = field(default_factory=dict)
    reconciled: Reconciled = Reconciled(changed=False)


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
        examine: Examine | None = None,
        unknown_secrets: UnknownSecrets = no_secret_is_unknown,
    ) -> None:
        """`git` is the folder of the repositories, `{organisation}.git` each. `announce` is called when something
        else is live, before the pusher hears of it; other processes are notified by the database. `examine` runs
        the tests that a project requires. `unknown_secrets` says which secrets plans warn of.
        """
        self._sessions = Sessions(database, git, unknown_secrets)
        self._git = git
        self._recollection = Recollection()
        self._tests = RequiredTests(examine)
        self._delivery = Delivery(self._recollection, installation_key, public_url, announce, self._tests)
        self._host = urlsplit(public_url).hostname or "localhost"
        self.changes = ReviewDesk(self._sessions, self._delivery, self._caught_up, self._host, self._tests)

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
        push = Push(updates=updates, quarantine=quarantine, pusher=pusher, started=time.perf_counter())
        with self._sessions.open(organisation, quarantine) as session:
            known = self._caught_up(session, restoring=updates)
            refused = refused_refs(updates, session, known.head)
            held = _held(session, known, push)
            if held.reasons:
                return forbidden(updates, held, refused)
            if refused:
                return refusal(updates, refused)
            try:
                return self._delivery.deliver(session, known, push)
            except TooManyDocumentsError as error:
                return refusal(updates, {update.ref: error.reason.message for update in updates})

    def act(self, organisation: str, request: Request) -> Done:
        """Do it as a commit or a moved tag, and make that live. Raises ActionRefusedError: nothing has changed."""
        started = time.perf_counter()
        with self._sessions.open(organisation) as session:
            known = self._caught_up(session)
            update = write(request, Ground(session=session, known=known), self._host)
            push = Push(updates=[update], pusher=request.actor, started=started, describes=True)
            held = _held(session, known, push)
            if held.reasons:
                raise ActionRefusedError(Why.FORBIDDEN, "\n".join(held.lines))
            refused = refused_refs(push.updates, session, known.head)
            if refused:
                raise ActionRefusedError(
                    Why.INVALID, "\n".join(f"{ref}: {why}" for ref, why in refused.items())
                )
            outcome = self._delivery.deliver(session, known, push)
            if outcome.refused:
                raise ActionRefusedError(Why.INVALID, "\n".join(outcome.lines), outcome.problems)
            commit = session.repository.commit(update.new).id
            return _done(commit, update.ref, outcome)

    def templates(self, organisation: str) -> list[Document]:
        """Those of the default branch that can be used, by name. Raises RepositoryLostError, GitError."""
        with self._sessions.open(organisation) as session:
            return templates_in(Ground(session=session, known=self._caught_up(session)))

    def file(self, organisation: str, path: str, ref: str | None) -> StoredFile:
        """A file of a branch, a tag or a commit. Raises NoFileError, LargeFileError, GitError."""
        return read_file(Repository(self._git / f"{organisation}.git"), path, ref)

    def reconcile(self, organisation: str) -> Reconciled:
        """Bring the database to what the refs say. Cheap when nothing has changed; safe at any time.

        Raises RepositoryLostError.
        """
        with self._sessions.open(organisation) as session:
            state = repository_state(session.connection, organisation)
            if _in_step(state, session.refs):
                return Reconciled(changed=False)
            return self._catch_up(session, self._recollection.recall(session, state))

    def take_over(
        self, organisation: str, choose: Callable[[Session], Sequence[RefUpdate]], moved_by: str
    ) -> Takeover:
        """Move what `choose` says, behind the gate: somebody else has decided it already.

        Raises RepositoryLostError, and TooManyDocumentsError: nothing has moved then.
        """
        with self._sessions.open(organisation) as session:
            with suppress(RepositoryLostError):  # this may bring it back
                self._caught_up(session)
            updates = choose(session)
            if not updates:
                return Takeover()
            known = self._recollection.recall(session, repository_state(session.connection, organisation))
            if any(update.ref == session.default_ref for update in updates):
                refs = refs_after(session.refs, updates)
                land(known, view_of(known, session.repository, refs, session.default_ref))
            refused = _move_each(session.repository, updates)
            repository = Repository(session.repository.path)
            after = replace(session, repository=repository, refs=repository.refs())
            return Takeover(refused=refused, reconciled=self._catch_up(after, known, moved_by))

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
            return described(landing, session)

    def proposed(self, organisation: str, head: str) -> Proposed:
        """The plan of merging a commit, or what the gate would say against it.

        Raises UnknownRevisionError, UnmergeableError, TooManyDocumentsError.
        """
        with self._sessions.open(organisation) as session:
            known = self._caught_up(session)
            target = session.repository.commit(head)
            with session.repository.scratch() as scratch:
                view = view_of(known, scratch, session.refs, session.default_ref)
                landing = propose(known, view, target)
                found = tuple(landing_problems(landing, known))
                # Anybody may open a pull request; only who may push has scripts run here.
                pushed = any(at == target.id for ref, at in session.refs.items() if ref.startswith(BRANCHES))
                tried = self._tests.affected(landing, known) if pushed and not found else None
                found = tried.problems if tried else found
            plan = None if found else described(landing, session)
            untried = not pushed and self._tests.concern(landing, known)
            tested = NOT_TRIED if untried else tried.text if tried else None
            return Proposed(plan=plan, problems=found, tested=tested)

    def draft(self, organisation: str, request: DraftRequest) -> Drafted:
        """Freeze a draft for test mode: nothing of it is live, and no ref moves.

        Raises UnknownRevisionError, TooManyDocumentsError, DraftProblemsError, NoDraftError,
        EnvironmentProtectedError.
        """
        with self._sessions.open(organisation) as session:
            return draft(session, self._caught_up(session), request)

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

    def _catch_up(self, session: Session, known: Known, moved_by: str | None = None) -> Reconciled:
        if session.default_ref not in session.refs and (known.head or known.live):
            raise RepositoryLostError(
                f"The repository of {session.organisation} has no {session.default_ref.removeprefix(BRANCHES)}, "
                "but the database has deployments of it: restore the folder `git` of the data folder, "
                "or push the branch."
            )
        _keep_line(session, known)
        view = view_of(known, session.repository, session.refs, session.default_ref)
        landing = land(known, replace(view, look_back=LOOK_BACK))
        found = left_problems(landing, known) or self._tests.left(landing, known)
        moves = moves_since(last_known(session.connection, session.organisation), session.refs)
        self._delivery.write(session, known, landing, Cause(moves=moves, problems=found, moved_by=moved_by))
        return Reconciled(changed=True, plan=landing.plan, problems=found)


def _done(commit: str, ref: str, outcome: PushOutcome) -> Done:
    for review in outcome.reviews:
        return Done(commit=commit, ref=ref, plan=review.plan, lines=outcome.lines, problems=review.problems)
    return Done(commit=commit, ref=ref, plan=outcome.plan, lines=outcome.lines)


def _held(session: Session, known: Known, push: Push) -> Refused:
    """What its pusher may not move, by the default branch's head as it is before the push."""
    return refused_moves(push.updates, push.pusher, project_of(known.snapshot), session.default_ref)


def _move_each(repository: Repository, updates: Sequence[RefUpdate]) -> dict[str, str]:
    """All together; where one cannot, all that can. Deletions first: a branch may take the place of a folder."""
    gone = [update for update in updates if update.new == ABSENT]
    refused = {}
    for together in (gone, [update for update in updates if update.new != ABSENT]):
        try:
            repository.update_refs(together)
        except RefConflictError:
            for update in together:
                try:
                    repository.update_refs([update])
                except RefConflictError as error:
                    refused[update.ref] = str(error)
    return refused


def _keep_line(session: Session, known: Known) -> None:
    """Where the default branch was rewritten, what it held before stays reachable."""
    repository, head = session.repository, session.refs.get(session.default_ref)
    if known.head is None or head is None or not repository.has(known.head):
        return
    if not repository.first_parents(head, known.head)[1]:
        repository.keep_line(known.head)


def _in_step(state: RepositoryState | None, refs: Mapping[str, str]) -> bool:
    return (state.refs_digest if state else digest({})) == digest(refs)
