"""What the pusher of a branch reads: what it would change, were it merged into the default branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from reconciler.answer import review_lines
from reconciler.gate import landing_problems
from reconciler.git_errors import UnmergeableError
from reconciler.landing import Known, view_of
from reconciler.proposal import propose
from reconciler.refs import ABSENT, BRANCHES, RefUpdate
from reconciler.session import Session
from reconciler.view import View

MOST_REVIEWS = 5  # branches of one push that are compared with the default branch


def reviews(
    session: Session, known: Known, refs: Mapping[str, str], updates: Sequence[RefUpdate]
) -> list[str]:
    """Lines about every branch that `updates` move, but the default one. `refs` are as they will be."""
    moved = [u for u in updates if u.ref.startswith(BRANCHES) and u.new != ABSENT]
    branches = [u for u in moved if u.ref != session.default_ref]
    if not branches:
        return []
    with session.repository.scratch() as scratch:
        view = view_of(known, scratch, refs, session.default_ref)
        lines = [line for u in branches[:MOST_REVIEWS] for line in _review(session, known, view, u)]
    unsaid = [u.ref.removeprefix(BRANCHES) for u in branches[MOST_REVIEWS:]]
    return [
        *lines,
        *(f"{branch}: `weft plan --head {branch}` says what it would change" for branch in unsaid),
    ]


def _review(session: Session, known: Known, view: View, update: RefUpdate) -> list[str]:
    branch, default = (ref.removeprefix(BRANCHES) for ref in (update.ref, session.default_ref))
    try:
        landing = propose(known, view, session.repository.commit(update.new))
    except UnmergeableError as error:
        return [f"{branch}: this cannot be merged into {default}: {error}"]
    found = landing_problems(landing, known)
    plan = landing.plan if found else landing.described(session.stored, datetime.now(UTC))
    return review_lines(branch, default, found, plan)
