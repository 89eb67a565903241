"""Changes under review: who wrote one, whose approval of it counts, and what is missing to merge it. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciler.actor import Actor, address
from reconciler.git.commits import Commit
from reconciler.protection import ReviewRules
from reconciler.removals import TRAILER
from reconciler.required_tests import Tried
from reconciler.steps import Binding, Plan, Step
from schemas.pattern import JSON
from schemas.problems import Problem
from store.changes import Approval, Closure


class State(StrEnum):
    OPEN = "open"
    MERGED = "merged"  # the default branch has its head
    CLOSED = "closed"  # by somebody, and not pushed since


@dataclass(frozen=True, kw_only=True)
class Authors:
    """Who made a change: the users that pushed it, and the commits that they or others wrote."""

    pushers: tuple[str, ...]
    commits: tuple[Commit, ...]

    def why(self, user: str) -> str | None:
        """What makes this user an author of the change, or None."""
        if any(same_person(user, pusher) for pusher in self.pushers):
            return f"{user} pushed it"
        written = (commit for commit in self.commits if _wrote(user, commit.author))
        commit = next(written, None)
        return None if commit is None else f"{user} is the author of {commit.id[:10]}"

    @property
    def names(self) -> tuple[str, ...]:
        """The users that pushed, then the authors of commits who are none of them."""
        strangers = dict.fromkeys(commit.author for commit in self.commits)
        others = (author for author in strangers if not any(_wrote(user, author) for user in self.pushers))
        return (*self.pushers, *others)


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A unified diff; `is_cut` where there is more of it."""

    text: str = ""
    is_cut: bool = False


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a merge would come to. There is no `plan` where `conflict` or `problems` say why it would be refused.

    `digest` stands for the plan: it is what an approval is of. `tried` are the tests that the project requires.
    """

    plan: Plan | None = None
    digest: str | None = None
    problems: tuple[Problem, ...] = ()
    conflict: str | None = None
    tried: Tried | None = None
    patch: Patch = field(default_factory=Patch)


@dataclass(frozen=True, kw_only=True)
class Change:
    """A branch under review. `outlook` is None where nobody asked, and of one that is merged."""

    branch: str
    target: str
    base: str | None
    head: Commit
    state: State
    authors: Authors
    rules: ReviewRules
    updated_at: datetime
    closure: Closure | None = None
    approvals: tuple[Approval, ...] = ()
    outlook: Outlook | None = None

    @property
    def conflict(self) -> str | None:
        return self.outlook.conflict if self.outlook else None

    @property
    def problems(self) -> tuple[Problem, ...]:
        return self.outlook.problems if self.outlook else ()

    def discounted(self, approval: Approval) -> str | None:
        """Why an approval does not count, or None for one that does."""
        author = self.authors.why(approval.user)
        if author is not None:
            return f"{author}, and authors do not approve their own change"
        refused = self.rules.refuses(Actor(user=approval.user, admin=approval.admin))
        if refused is not None:
            return f"{refused}; {approval.user} may not"
        if approval.head != self.head.id:
            return f"{approval.user} approved {approval.head[:10]}, the branch is at {self.head.id[:10]} now"
        if self.outlook is not None and approval.plan != self.outlook.digest:
            changed = f"{self.target}, or what is live, has changed since"
            return f"the plan is not the one {approval.user} approved: {changed}"
        return None

    @property
    def counting(self) -> tuple[Approval, ...]:
        """One of each user's approvals that count, in the order of their names."""
        found: dict[str, Approval] = {}
        for approval in self.approvals:
            if self.discounted(approval) is None:
                found[_key(approval.user)] = approval
        return tuple(found[user] for user in sorted(found))

    @property
    def reasons(self) -> tuple[str, ...]:
        """All that stands against merging it, whoever asks."""
        return tuple(self._reasons())

    def _reasons(self) -> Iterator[str]:
        if self.state is State.MERGED:
            yield f"{self.target} has {self.head.id[:10]} already"
            return
        if self.closure is not None and self.state is State.CLOSED:
            yield f"{self.closure.user} closed it; a push to {self.branch} opens it again"
        if self.base is None:
            yield f"there is no {self.target} to merge it into"
        if self.conflict is not None:
            yield self.conflict.rstrip(".")
        if self.problems:
            count = len(self.problems)
            yield f"merged, it would have {count} {'problem' if count == 1 else 'problems'}"
        yield from self._missing_approvals()

    def _missing_approvals(self) -> Iterator[str]:
        needed, there = self.rules.approvals, len(self.counting)
        if there >= needed:
            return
        yield f"it needs {needed} {'approval' if needed == 1 else 'approvals'} and has {there}"
        latest = {_key(approval.user): approval for approval in self.approvals}
        counted = {_key(approval.user) for approval in self.counting}
        for user in sorted(latest.keys() - counted):
            yield self.discounted(latest[user]) or ""


def same_person(one: str, other: str) -> bool:
    """Capital letters make another user, but hardly another person: nobody reviews on the strength of them."""
    return _key(one) == _key(other)


def _key(user: str) -> str:
    return user.casefold()


def _wrote(user: str, author: str) -> bool:
    """Whether a commit's author ("Name <address>") is called like a user: by name, address, or its first part."""
    name, _, rest = author.rpartition(" <")
    address = rest.removesuffix(">")
    return any(same_person(user, known.strip()) for known in (name, address, address.partition("@")[0]))


def plan_digest(plan: Plan) -> str:
    """One hash for what a plan changes; the commits that it compares and the time of day leave it as it is."""
    steps: list[JSON] = [_step(step) for step in plan.visible]
    steps += [change.as_json() for change in plan.connections]
    text = json.dumps(steps, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _step(step: Step) -> JSON:
    """Versions by their content: their numbers are where the history is, not what is live."""
    return {
        "name": step.name,
        "action": str(step.action),
        "before": _binding(step.before),
        "after": _binding(step.after),
        "reason": step.reason.code if step.reason else None,
        "problems": [problem.code for problem in step.problems],
    }


def _binding(binding: Binding | None) -> JSON:
    if binding is None:
        return None
    return {
        "pattern": binding.pattern,
        "environment": binding.environment,
        "state": binding.state,
        "version": binding.version.id if binding.version else None,
        "spec": dict(binding.spec),
        "metadata": dict(binding.metadata),
    }


@dataclass(frozen=True, kw_only=True)
class MergeText:
    """What a merge commit says. `approved` are the users whose approvals count, `host` that of their addresses.

    `may_remove`: a commit of the branch, or whoever merges, allows a mass removal.
    """

    branch: str
    subject: str
    host: str
    said: str = ""
    may_remove: bool = False
    approved: Sequence[str] = ()

    def __str__(self) -> str:
        body = f"{self.said.strip()}\n\n" if self.said.strip() else ""
        trailers = ["Weft-Action: merge", f"Weft-Change: {self.branch}"]
        trailers += [f"Approved-by: {user} <{address(user, self.host)}>" for user in self.approved]
        trailers += [TRAILER] if self.may_remove else []
        return f"Merge {self.branch}: {self.subject}\n\n{body}" + "\n".join(trailers) + "\n"
