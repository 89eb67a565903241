"""Who may move which branch and tag, by the `weft.yaml` of the default branch as it is before the push. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from reconciler.actor import Actor
from reconciler.git.refs import ABSENT, BRANCHES, TAGS, RefUpdate
from reconciler.snapshot import Snapshot
from schemas.problems import Problem
from schemas.project import Project, Protected

PROJECT_FILE = "weft.yaml"
MOST_NAMES = 10  # of a group's users that are told

BELOW = "**"


@dataclass(frozen=True, kw_only=True)
class Refused:
    """`reasons`: ref → in a few words; `lines`: for the terminal, with the way to propose the change instead."""

    reasons: Mapping[str, str] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


def project_of(snapshot: Snapshot) -> Project | Problem:
    """The settings of a commit, or what is wrong with them; those of a repository without any protect nothing."""
    file = snapshot.files.get(PROJECT_FILE)
    if file is None:
        return Project(name="")
    found = [document for document in file.documents if isinstance(document.typed, Project)]
    if file.problems:
        return file.problems[0]
    if len(found) > 1:
        return Problem(
            path=PROJECT_FILE, line=found[1].line, column=found[1].column, code="duplicate-document",
            message="there are two projects.", hint="Remove one of them.",
        )  # fmt: skip
    typed = found[0].typed if found else None
    return typed if isinstance(typed, Project) else Project(name="")


def refused_moves(
    updates: Sequence[RefUpdate], actor: Actor, project: Project | Problem, default_ref: str
) -> Refused:
    """The refs of a push that this actor may not move."""
    if actor.admin:
        return Refused()
    found = {
        update: reason
        for update in updates
        if (reason := _reason(update.ref, actor, project, default_ref)) is not None
    }
    lines = [f"{update.ref} is {reason}; {actor.user} may not." for update, reason in found.items()]
    own = f"{BRANCHES}{actor.user}/my-change"
    if any(update.new != ABSENT for update in found):
        # What is merged moves no tag: of those nothing can be proposed.
        proposable = any(update.ref.startswith(BRANCHES) for update in found)
        open_to_all = proposable and _reason(own, actor, project, default_ref) is None
        lines += _advice(own) if open_to_all else [_ASK]
        merged = any(update.ref == default_ref for update in found)
        lines += review_rules(default_ref, project).advice(own) if merged and lines[-1] != _ASK else []
    return Refused(reasons={update.ref: reason for update, reason in found.items()}, lines=tuple(lines))


_ASK = "Ask one of them to push it."


def _advice(own: str) -> list[str]:
    return [
        "Propose it as a branch of your own instead; the push prints what it would do:",
        f"  git push origin HEAD:{own}",
    ]


@dataclass(frozen=True, kw_only=True)
class ReviewRules:
    """What a change needs to be merged into the default branch. `approvals`: by so many others than its authors.

    `sealed`: the settings cannot be read, so that only admins have a say.
    """

    approvals: int = 0
    rules: tuple[Protected, ...] = ()
    project: Project = field(default_factory=lambda: Project(name=""))
    sealed: Problem | None = None

    def refuses(self, actor: Actor) -> str | None:
        """Why this editor may neither approve nor merge, or None."""
        if actor.admin:
            return None
        if self.sealed is not None:
            at = f"{self.sealed.path}:{self.sealed.line}"
            return f"while {at} has problems, only admins may approve and merge"
        refusing = (rule for rule in self.rules if not _names(rule, actor.user, self.project))
        rule = next(refusing, None)
        return (
            None if rule is None else f"by {PROJECT_FILE}, {_who(rule, self.project)} may approve and merge"
        )

    def advice(self, ref: str) -> list[str]:
        """How a proposed branch gets in."""
        branch = ref.removeprefix(BRANCHES)
        naming = next((rule for rule in self.rules if rule.push is not None), None)
        who = "others" if naming is None else _who(naming, self.project)
        merge = f"  weft merge {branch}"
        if not self.approvals:
            return [f"Then {who} may merge it:", merge]
        needed = "1 approval is" if self.approvals == 1 else f"{self.approvals} approvals are"
        return [
            f"Then {who} may approve it, but none of its authors; {needed} needed to merge it:",
            f"  weft approve {branch}",
            merge,
        ]


def review_rules(default_ref: str, project: Project | Problem) -> ReviewRules:
    """Those for merging into the default branch."""
    if isinstance(project, Problem):
        return ReviewRules(sealed=project)
    rules = tuple(protecting(default_ref, project))
    approvals = max((rule.approvals for rule in rules), default=0)
    return ReviewRules(approvals=approvals, rules=rules, project=project)


def _reason(ref: str, actor: Actor, project: Project | Problem, default_ref: str) -> str | None:
    """Why the actor may not move it, or None."""
    if isinstance(project, Problem):
        # Nobody can tell what it protected; branches to propose the mending on stay open.
        closed = ref == default_ref or ref.startswith(TAGS)
        return (
            f"closed while {project.path}:{project.line} has problems: admins may push there"
            if closed
            else None
        )
    rules = protecting(ref, project)
    needed = max((rule.approvals for rule in rules), default=0)
    if needed:
        main = default_ref.removeprefix(BRANCHES)
        way = _by_review(needed) if ref == default_ref else f"it asks for approvals, which only {main} has"
        return f"protected by {PROJECT_FILE}: {way}; only admins may push there"
    rule = next((rule for rule in rules if not _names(rule, actor.user, project)), None)
    return None if rule is None else f"protected by {PROJECT_FILE}: {_who(rule, project)} may push there"


def _by_review(needed: int) -> str:
    return f"it takes changes with {needed} {'approval' if needed == 1 else 'approvals'}"


def protecting(ref: str, project: Project) -> list[Protected]:
    """The rules for a ref: that of its very name, else those of every glob that matches. All must allow a move."""
    globs, name = _globs(ref, project)
    if name in globs:
        return [globs[name]]
    return [rule for glob, rule in globs.items() if matches(glob, name)]


def _globs(ref: str, project: Project) -> tuple[Mapping[str, Protected], str]:
    if ref.startswith(TAGS):
        return project.tags, ref.removeprefix(TAGS)
    return project.branches, ref.removeprefix(BRANCHES)


def matches(glob: str, name: str) -> bool:
    """Part by part between slashes, so that `*` and `?` stay within a folder; a last `**` is all that is below."""
    globs, parts = glob.split("/"), name.split("/")
    if globs[-1] == BELOW:
        globs.pop()
        if len(parts) <= len(globs):
            return False
        del parts[len(globs) :]
    return len(globs) == len(parts) and all(map(_part_matches, globs, parts))


def _part_matches(glob: str, part: str) -> bool:
    return _compiled(glob).match(part) is not None


@lru_cache(maxsize=1024)
def _compiled(glob: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(glob))


def _names(rule: Protected, user: str, project: Project) -> bool:
    """Whether the rule lets this user; one that names nobody at all lets everybody."""
    return rule.push is None or any(user in project.groups.get(name, (name,)) for name in rule.push)


def _who(rule: Protected, project: Project) -> str:
    """`maintainers (alice, bob), carol and admins`."""
    named = [_named(name, project) for name in rule.push or ()]
    return f"{', '.join(named)} and admins" if named else "only admins"


def _named(name: str, project: Project) -> str:
    users = project.groups.get(name)
    return name if users is None else f"{name} ({_shortened(users)})"


def _shortened(users: Sequence[str]) -> str:
    more = len(users) - MOST_NAMES
    shown: Iterable[str] = users if more <= 0 else (*users[:MOST_NAMES], f"{more} more")
    return ", ".join(shown) or "nobody"
