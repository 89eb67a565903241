"""What a commit would make of what is live, or of another commit: a landing that never happens."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler.git.commits import Commit, Signed
from reconciler.git.repository import Repository
from reconciler.history import walk
from reconciler.landing import Known, Landing, finish
from reconciler.plan import Live
from reconciler.reader import Recent
from reconciler.snapshot import EMPTY, problems
from reconciler.steps import Plan
from reconciler.view import View, with_head
from schemas.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Proposed:
    """`problems`: what the gate would say. Then there is no plan: half of one would look like a whole one.

    `tested`: what became of the tests that the project requires.
    """

    plan: Plan | None
    problems: tuple[Problem, ...]
    tested: str | None = None


class UnreadableCommitError(Exception):
    """A commit whose files have problems: half a plan of it would look like a whole one."""

    def __init__(self, commit: str, found: tuple[Problem, ...]) -> None:
        super().__init__(f"There is no plan for commit {commit[:10]}: its files have problems.")
        self.problems = found


def merged(known: Known, view: View, head: Commit, message: str) -> Landing:
    """The landing of a merge commit of `head` on the default branch, written to the view's repository: a scratch.

    Raises UnmergeableError, TooManyDocumentsError. Without a default branch it is that of `head` itself.
    """
    signed = Signed(name="weft", email="weft@localhost", message=message)
    trial = replace(view, others=Recent(16))
    repository = view.reader.repository
    target = head if known.head is None else repository.merge(known.head, head.id, signed)
    landing = _landing(known, trial, target, None)
    behind = known.head is not None and not repository.is_ancestor(known.head, head.id)
    return replace(landing, plan=replace(landing.plan, base=known.head, head=head.id, merges=behind))


def propose(known: Known, view: View, head: Commit, base: Commit | None = None) -> Landing:
    """The landing of `head` as if it were pushed where `base` is (None: the default branch, and what is live).

    Where the two have parted, it is that of their merge, which is written to the view's repository: give it a
    scratch. A head that the default branch has already changes nothing; an explicit base may look back.
    Raises UnmergeableError, TooManyDocumentsError and, for a base with problems, UnreadableCommitError.
    """
    repository = view.reader.repository
    # Numbers that are only proposed must not be remembered with what other commits hold.
    trial = replace(view, others=Recent(16))
    onto = base.id if base else known.head
    target = _target(repository, head, onto, looks_back=base is not None)
    landing = _landing(known, trial, target, base)
    plan = replace(landing.plan, base=onto, head=head.id, merges=target.id != head.id)
    return replace(landing, plan=plan)


def _target(repository: Repository, head: Commit, onto: str | None, *, looks_back: bool) -> Commit:
    """The commit to look at: `head` where it goes on from `onto`, else their merge."""
    if onto is None or repository.first_parents(head.id, onto)[1]:
        return head
    if repository.is_ancestor(head.id, onto):
        return head if looks_back else repository.commit(onto)
    return repository.merge(onto, head.id)


def _landing(known: Known, trial: View, target: Commit, base: Commit | None) -> Landing:
    line, descends = trial.reader.repository.first_parents(target.id, known.head)
    ledger = known.ledger.copy()
    new = line if descends or known.head is None else [target]
    snapshot, firsts = walk(new, known.snapshot, ledger, trial.reader)
    ahead = with_head(trial, target, snapshot, ledger)
    if base is None:
        return finish(ahead, tuple(firsts), known.head, known.snapshot)
    was = _landed(known, trial, base)
    compared = {
        **{first.version.id: first.version for first in was.everything},
        **{version.id: version for version in was.view.snapshot.frozen.versions.values()},
    }
    on_base = replace(ahead, live=_as_if_live(was, base), applied=None)
    landing = finish(on_base, tuple(firsts), base.id, was.view.snapshot)
    return replace(landing, compared=compared)


def _landed(known: Known, trial: View, base: Commit) -> Landing:
    """A commit as if it were live, and nothing had been before it."""
    view = with_head(trial, base, trial.at(base), known.ledger)
    found = problems(view.snapshot, view.reader)
    if found:
        raise UnreadableCommitError(base.id, found)
    return finish(replace(view, live={}, applied=None), (), None, EMPTY)


def _as_if_live(was: Landing, base: Commit) -> dict[str, Live]:
    bindings = ((step.name, step.after) for step in was.plan.steps)
    return {name: Live(name=name, binding=after, commit=base.id) for name, after in bindings if after}
