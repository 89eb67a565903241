"""What a commit would be to the default branch: its plan, and what the gate would say of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.gate import commit_problems, landing_problems
from reconciler.landing import Known, view_of
from reconciler.proposal import UnreadableCommitError, propose
from reconciler.session import Session
from reconciler.steps import Plan
from schemas.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """`problems`: why it would be refused. What cannot be read has no plan, and is not here at all."""

    plan: Plan
    problems: tuple[Problem, ...]


def proposed(session: Session, known: Known, head: str) -> Proposed:
    """Of what merging `head` comes to. Raises as `Reconciler.plan` does."""
    target = session.repository.commit(head)
    with session.repository.scratch() as scratch:
        view = view_of(known, scratch, session.refs, session.default_ref)
        landing = propose(known, view, target)
        unreadable = commit_problems(landing, known)
        found = [] if unreadable else landing_problems(landing, known)
    if unreadable:
        raise UnreadableCommitError(target.id, tuple(sorted(unreadable)))
    return Proposed(plan=landing.described(session.stored, datetime.now(UTC)), problems=tuple(found))
