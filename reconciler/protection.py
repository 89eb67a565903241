"""Who may move which branch and tag, by the `weft.yaml` of the default branch as it is before the push. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from reconciler.actor import Actor
from reconciler.refs import ABSENT, BRANCHES, TAGS, RefUpdate
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
        lines += _advice(own) if _reason(own, actor, project, default_ref) is None else [_ASK]
    return Refused(reasons={update.ref: reason for update, reason in found.items()}, lines=tuple(lines))


_ASK = "Ask one of them to push it."


def _advice(own: str) -> list[str]:
    return [
        "Propose it as a branch of your own instead; the push prints what it would do:",
        f"  git push origin HEAD:{own}",
    ]


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
    refusing = (rule for rule in protecting(ref, project) if not _allows(rule, actor.user, project))
    rule = next(refusing, None)
    return None if rule is None else f"protected by {PROJECT_FILE}: {_who(rule, project)} may push there"


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


def _allows(rule: Protected, user: str, project: Project) -> bool:
    return any(user in project.groups.get(name, (name,)) for name in rule.push)


def _who(rule: Protected, project: Project) -> str:
    """`maintainers (alice, bob), carol and admins`."""
    named = [_named(name, project) for name in rule.push]
    return f"{', '.join(named)} and admins" if named else "only admins"


def _named(name: str, project: Project) -> str:
    users = project.groups.get(name)
    return name if users is None else f"{name} ({_shortened(users)})"


def _shortened(users: Sequence[str]) -> str:
    more = len(users) - MOST_NAMES
    shown: Iterable[str] = users if more <= 0 else (*users[:MOST_NAMES], f"{more} more")
    return ", ".join(shown) or "nobody"
