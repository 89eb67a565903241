"""A branch of a locked repository → the change that it is: what Git, the plan and the record say of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from reconciler.gate import landing_problems
from reconciler.git.commits import Commit
from reconciler.git.errors import UnmergeableError
from reconciler.git.refs import BRANCHES
from reconciler.git.repository import Repository
from reconciler.landing import Known, view_of
from reconciler.proposal import merged
from reconciler.protection import ReviewRules, project_of, review_rules
from reconciler.removals import allows_removal
from reconciler.required_tests import RequiredTests
from reconciler.reviews.changes import Authors, Change, MergeText, Outlook, Patch, State, plan_digest
from reconciler.secret_warnings import described
from reconciler.session import Session
from reconciler.snapshot import TooManyDocumentsError
from store.changes import approvals_of, closures_of
from store.ref_moves import first_pushers, last_moved, list_moves

LARGEST_PATCH = 1024 * 1024  # bytes
MOVES = 200  # of a branch that are read at a time


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """Looks at the branches of one session. `host` is that of the addresses of Weft's users."""

    session: Session
    known: Known
    host: str
    tests: RequiredTests

    @property
    def branches(self) -> list[str]:
        """All but the default one, by name."""
        refs = self.session.refs.keys() - {self.session.default_ref}
        return sorted(ref.removeprefix(BRANCHES) for ref in refs if ref.startswith(BRANCHES))

    @property
    def target(self) -> str:
        return self.session.default_ref.removeprefix(BRANCHES)

    @property
    def rules(self) -> ReviewRules:
        return review_rules(self.session.default_ref, project_of(self.known.snapshot))

    def briefly(self, branches: Collection[str]) -> Iterator[Change]:
        """Without an outlook; where approvals of the head are there, with one, to tell which of them count."""
        connection, organisation = self.session.connection, self.session.organisation
        approvals = approvals_of(connection, organisation, branches)
        closures = closures_of(connection, organisation)
        moved = last_moved(connection, organisation, [f"{BRANCHES}{branch}" for branch in branches])
        for branch in branches:
            ref = f"{BRANCHES}{branch}"
            head = self.session.repository.commit(self.session.refs[ref])
            closure = closures.get(branch)
            if closure is not None and closure.head != head.id:
                closure = None
            state = State.MERGED if self._is_live(head.id) else State.CLOSED if closure else State.OPEN
            change = Change(
                branch=branch,
                target=self.target,
                base=self.known.head,
                head=head,
                state=state,
                authors=self._authors(ref, head),
                rules=self.rules,
                updated_at=moved.get(ref, head.at),
                closure=closure,
                approvals=tuple(approvals.get(branch, ())),
            )
            counting = bool(change.counting) and state is not State.MERGED
            yield self.with_outlook(change) if counting else change

    def fully(self, branch: str, said: str = "") -> Change:
        """With the outlook on its merge, whose message would have `said`."""
        [change] = self.briefly([branch])
        return change if change.state is State.MERGED else self.with_outlook(change, said, patched=True)

    def with_outlook(self, change: Change, said: str = "", *, patched: bool = False) -> Change:
        if self.known.head is None:
            return change
        text = str(self.text(change, said))
        with self.session.repository.scratch() as scratch:
            return replace(change, outlook=self._outlook(scratch, change, text, patched=patched))

    def text(self, change: Change, said: str) -> MergeText:
        """The message of the change's merge."""
        allowed = branch_allows_removal(self.session.repository, change.authors.commits)
        return MergeText(
            branch=change.branch,
            subject=change.head.message,
            host=self.host,
            said=said,
            may_remove=allows_removal(said) or allowed,
            approved=[approval.user for approval in change.counting],
        )

    def _outlook(self, scratch: Repository, change: Change, text: str, *, patched: bool) -> Outlook:
        view = view_of(self.known, scratch, self.session.refs, self.session.default_ref)
        try:
            landing = merged(self.known, view, change.head, text)
        except UnmergeableError as error:
            base = scratch.merge_base(change.head.id, self.known.head or "")
            since = scratch.commit(base).tree if base else None
            patch = self._patch(scratch, since, change.head.tree) if patched else Patch()
            return Outlook(conflict=str(error), patch=patch)
        except TooManyDocumentsError as error:
            return Outlook(conflict=error.reason.message)
        now, then = self.known.snapshot.tree, landing.view.snapshot.tree
        patch = self._patch(scratch, now, then) if patched else Patch()
        found = tuple(landing_problems(landing, self.known))
        tried = None if found else self.tests.affected(landing, self.known)
        found = tried.problems if tried else found
        if found:
            return Outlook(problems=found, tried=tried, patch=patch)
        plan = described(landing, self.session) if patched else landing.plan
        return Outlook(plan=plan, digest=plan_digest(landing.plan), tried=tried, patch=patch)

    def _patch(self, scratch: Repository, old: str | None, new: str | None) -> Patch:
        if old is None or new is None:
            return Patch()
        text, is_cut = scratch.diff(old, new, LARGEST_PATCH)
        return Patch(text=text, is_cut=is_cut)

    def _authors(self, ref: str, head: Commit) -> Authors:
        commits = tuple(self.session.repository.ahead(head.id, self.known.head))
        ids = [commit.id for commit in commits]
        first = first_pushers(self.session.connection, self.session.organisation, ids)
        return Authors(pushers=tuple(dict.fromkeys([*first, *self._movers(ref)])), commits=commits)

    def _movers(self, ref: str) -> Iterator[str]:
        """Who moved the branch since it was made, or since the default branch had all of it."""
        before: int | None = None
        while page := list_moves(self.session.connection, self.session.organisation, [ref], before, MOVES):
            for move in page:
                if move.new is None or self._is_live(move.new):
                    return
                if move.user is not None:
                    yield move.user
            before = page[-1].id

    def _is_live(self, commit: str) -> bool:
        """Whether the default branch has it."""
        repository, head = self.session.repository, self.known.head
        return head is not None and repository.has(commit) and repository.is_ancestor(commit, head)


def branch_allows_removal(repository: Repository, commits: Iterable[Commit]) -> bool:
    """Whether one of a branch's own commits has the trailer: its merge has it then, too."""
    return any(allows_removal(repository.message(commit.id)) for commit in commits)
