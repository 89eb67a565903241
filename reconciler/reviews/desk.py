"""What people do with changes: look at them, approve, close and merge them, one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from reconciler.actions.requests import ActionRefusedError, Done, Why
from reconciler.actor import Actor
from reconciler.delivery import Delivery, Push
from reconciler.gate import refused_refs
from reconciler.git.refs import BRANCHES, RefUpdate
from reconciler.landing import Known
from reconciler.required_tests import RequiredTests
from reconciler.reviews.changes import Change, State
from reconciler.reviews.inspection import Inspection
from reconciler.session import Session, Sessions
from schemas.problems import Problem
from store.changes import NewApproval, NewClosure, add_approval, approvals_of, close_change

CHUNK = 50  # branches that are looked at together


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What `actor` wants done with a branch. `head`: as long as it is at this commit; `message` may be empty."""

    branch: str
    actor: Actor
    head: str | None = None
    message: str = ""


class ReviewDesk:
    """All of it under the organisation's lock. ActionRefusedError says that nothing was done, and why."""

    def __init__(
        self,
        sessions: Sessions,
        delivery: Delivery,
        caught_up: Callable[[Session], Known],
        host: str,
        tests: RequiredTests,
    ) -> None:
        """`host` is that of the addresses of Weft's users."""
        self._sessions = sessions
        self._delivery = delivery
        self._caught_up = caught_up
        self._host = host
        self._tests = tests

    def list(
        self, organisation: str, state: State | None, after: str | None, limit: int
    ) -> tuple[list[Change], str | None]:
        """Up to `limit` changes by name behind `after`, and the last one's name where there are more."""
        with self._sessions.open(organisation) as session:
            inspection = self._inspection(session)
            names = [branch for branch in inspection.branches if after is None or branch > after]
            found: list[Change] = []
            for start in range(0, len(names), CHUNK):
                for change in inspection.briefly(names[start : start + CHUNK]):
                    if state is None or change.state is state:
                        if len(found) == limit:
                            return found, found[-1].branch
                        found.append(change)
            return found, None

    def one(self, organisation: str, branch: str) -> Change:
        """With its outlook. Raises ActionRefusedError for a branch that is not there."""
        with self._sessions.open(organisation) as session:
            return self._change(self._inspection(session), branch)

    def approve(self, organisation: str, wish: Wish) -> Change:
        """The change with this approval of it as it is now."""
        with self._sessions.open(organisation) as session:
            change = self._change(self._inspection(session), wish.branch)
            _check_open(change, wish)
            _check_reviewer(change, wish.actor)
            digest = change.outlook.digest if change.outlook else None
            if digest is None:
                raise ActionRefusedError(Why.CONFLICT, _nothing_to_approve(change))
            add_approval(
                session.connection,
                NewApproval(
                    organisation=organisation, branch=change.branch, head=change.head.id, plan=digest,
                    user=wish.actor.user, admin=wish.actor.admin, message=wish.message,
                ),
            )  # fmt: skip
            approvals = approvals_of(session.connection, organisation, [change.branch])
            return replace(change, approvals=tuple(approvals[change.branch]))

    def close(self, organisation: str, wish: Wish) -> Change:
        """The change, closed until its branch is pushed again."""
        with self._sessions.open(organisation) as session:
            inspection = self._inspection(session)
            change = self._change(inspection, wish.branch)
            _check_open(change, wish)
            close_change(
                session.connection,
                NewClosure(
                    organisation=organisation, branch=change.branch, head=change.head.id,
                    user=wish.actor.user, message=wish.message,
                ),
            )  # fmt: skip
            return self._change(inspection, wish.branch)

    def merge(self, organisation: str, wish: Wish) -> Done:
        """A merge commit in the user's name on the default branch, live."""
        started = time.perf_counter()
        with self._sessions.open(organisation) as session:
            inspection = self._inspection(session)
            change = self._change(inspection, wish.branch, wish.message)
            refused = change.rules.refuses(wish.actor)
            if refused is not None:
                raise ActionRefusedError(Why.FORBIDDEN, f"{refused}; {wish.actor.user} may not.")
            reasons = [*_elsewhere(change, wish.head), *change.reasons]
            if reasons:
                raise _unmergeable(change.branch, reasons, change.problems)
            return self._merge(inspection, change, wish, started)

    def _merge(self, inspection: Inspection, change: Change, wish: Wish, started: float) -> Done:
        session = inspection.session
        assert change.base is not None, "it is a reason not to merge"
        signed = wish.actor.signed(self._host, str(inspection.text(change, wish.message)))
        commit = session.repository.merge(change.base, change.head.id, signed).id
        update = RefUpdate(ref=session.default_ref, old=session.refs[session.default_ref], new=commit)
        refused = refused_refs([update], session, inspection.known.head)
        if refused:
            raise _unmergeable(change.branch, list(refused.values()))
        push = Push(updates=[update], pusher=wish.actor, started=started, describes=True)
        outcome = self._delivery.deliver(session, inspection.known, push)
        if outcome.plan is None:
            raise _unmergeable(change.branch, outcome.lines)
        return Done(commit=commit, ref=update.ref, plan=outcome.plan, lines=outcome.lines)

    def _inspection(self, session: Session) -> Inspection:
        return Inspection(session=session, known=self._caught_up(session), host=self._host, tests=self._tests)

    def _change(self, inspection: Inspection, branch: str, said: str = "") -> Change:
        if branch == inspection.target:
            raise ActionRefusedError(Why.UNKNOWN, f"{branch} is the default branch: what it has is live.")
        if f"{BRANCHES}{branch}" not in inspection.session.refs:
            raise ActionRefusedError(Why.UNKNOWN, f"There is no branch {branch}: push it first.")
        return inspection.fully(branch, said)


def _unmergeable(branch: str, reasons: Sequence[str], problems: Sequence[Problem] = ()) -> ActionRefusedError:
    message = f"{branch} cannot be merged: {'; '.join(reasons)}."
    return ActionRefusedError(Why.UNMERGEABLE, message, problems, reasons)


def _check_open(change: Change, wish: Wish) -> None:
    wrong = [*_elsewhere(change, wish.head), *(change.reasons[:1] if change.state is not State.OPEN else ())]
    if wrong:
        raise ActionRefusedError(Why.CONFLICT, f"{'; '.join(wrong)}.")


def _check_reviewer(change: Change, actor: Actor) -> None:
    author = change.authors.why(actor.user)
    if author is not None:
        rule = f"{author}: authors do not approve their own change, be they admins or not"
        raise ActionRefusedError(Why.FORBIDDEN, f"{rule}. Somebody else has to.")
    refused = change.rules.refuses(actor)
    if refused is not None:
        raise ActionRefusedError(Why.FORBIDDEN, f"{refused}; {actor.user} may not.")


def _elsewhere(change: Change, head: str | None) -> Sequence[str]:
    if head is None or change.head.id.startswith(head):
        return ()
    return [f"{change.branch} is at {change.head.id[:10]} now, and not at {head[:10]}"]


def _nothing_to_approve(change: Change) -> str:
    reasons = [str(problem) for problem in change.problems] or change.reasons
    return f"There is no plan to approve: {'; '.join(reasons).rstrip('.')}."
