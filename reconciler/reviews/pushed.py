"""What the pusher of a branch reads: what it would change, were it merged into the default branch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote

from reconciler.answer import Review, review_lines
from reconciler.gate import landing_problems
from reconciler.git.errors import UnmergeableError
from reconciler.git.refs import ABSENT, BRANCHES, RefUpdate
from reconciler.landing import Known, view_of
from reconciler.proposal import merged
from reconciler.required_tests import RequiredTests
from reconciler.reviews.changes import MergeText
from reconciler.reviews.inspection import branch_allows_removal
from reconciler.secret_warnings import described
from reconciler.session import Session
from reconciler.view import View
from schemas.problems import Problem

MOST_REVIEWS = 5  # branches of one push that are compared with the default branch


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What it takes to look at a branch: the refs as they will be, the tests, and where people find Weft."""

    refs: Mapping[str, str]
    tests: RequiredTests
    public_url: str


def reviews(session: Session, known: Known, looks: Looks, updates: Sequence[RefUpdate]) -> tuple[Review, ...]:
    """About every branch that `updates` move, but the default one."""
    moved = [u for u in updates if u.ref.startswith(BRANCHES) and u.new != ABSENT]
    branches = [u for u in moved if u.ref != session.default_ref]
    if not branches:
        return ()
    with session.repository.scratch() as scratch:
        view = view_of(known, scratch, looks.refs, session.default_ref)
        found = []
        for at, update in enumerate(branches[:MOST_REVIEWS]):
            # Each may take all of its time: the tests of the others run when somebody looks at them.
            tests = looks.tests if at == 0 else RequiredTests(None)
            review = _review(session, known, view, tests, update)
            way_on = _way_on(update.ref, session.default_ref, looks.public_url, known)
            found.append(replace(review, lines=(*review.lines, *way_on)))
    unsaid = [u.ref.removeprefix(BRANCHES) for u in branches[MOST_REVIEWS:]]
    more = (f"{branch}: `weft change {branch}` says what it would change" for branch in unsaid)
    return (*found, *(Review(lines=(line,)) for line in more))


def _way_on(ref: str, default_ref: str, public_url: str, known: Known) -> list[str]:
    branch, default = (each.removeprefix(BRANCHES) for each in (ref, default_ref))
    if known.head is None:
        return [
            f"only what is on {default} goes live, and there is none yet: git push weft {branch}:{default}"
        ]
    return [f"review it: weft change {branch}   {public_url}/api/v1/changes/{quote(branch)}"]


def _review(session: Session, known: Known, view: View, tests: RequiredTests, update: RefUpdate) -> Review:
    branch, default = (ref.removeprefix(BRANCHES) for ref in (update.ref, session.default_ref))
    repository = session.repository
    head = repository.commit(update.new)
    allowed = branch_allows_removal(repository, repository.ahead(head.id, known.head))
    text = MergeText(branch=branch, subject=head.message, host="localhost", may_remove=allowed)
    try:
        landing = merged(known, view, head, str(text))
    except UnmergeableError as error:
        return Review(lines=(f"{branch}: this cannot be merged into {default}: {error}",))
    found: Sequence[Problem] = landing_problems(landing, known)
    tried = None if found else tests.affected(landing, known)
    found = tried.problems if tried else found
    plan = landing.plan if found else described(landing, session)
    lines = review_lines(branch, default, found, plan) + ([f"tests: {tried.text}"] if tried else [])
    return Review(lines=tuple(lines), plan=plan, problems=tuple(found))
