"""What a commit would be to the default branch: its plan, or why the gate would refuse it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from reconciler.gate import landing_problems
from reconciler.landing import Known, view_of
from reconciler.proposal import propose
from reconciler.session import Session
from reconciler.steps import Plan
from schemas.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """`problems`: what the gate would say. Then there is no plan: half of one would look like a whole one."""

    plan: Plan | None
    problems: tuple[Problem, ...]


def proposed(session: Session, known: Known, head: str) -> Proposed:
    """Of what merging `head` comes to. Raises UnknownRevisionError, UnmergeableError, TooManyDocumentsError."""
    target = session.repository.commit(head)
    with session.repository.scratch() as scratch:
        view = view_of(known, scratch, session.refs, session.default_ref)
        landing = propose(known, view, target)
        found = landing_problems(landing, known)
    plan = None if found else landing.described(session.stored, datetime.now(UTC))
    return Proposed(plan=plan, problems=tuple(found))
