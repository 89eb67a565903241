"""May this push land? Answers with every reason why not, before anything has moved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciler.affected import still_sound
from reconciler.git.errors import UnknownRevisionError
from reconciler.git.refs import ABSENT, BRANCHES, TAGS, RefUpdate, valid_ref_name
from reconciler.git.repository import Repository
from reconciler.git.trees import Change, changes
from reconciler.landing import Known, Landing
from reconciler.plan import Wanted
from reconciler.removals import removal_problems
from reconciler.session import Session
from reconciler.snapshot import problems
from reconciler.steps import Action, Binding, Step
from reconciler.view import View
from schemas.documents import Kind
from schemas.problems import Problem

MOST_LINES = 100

_SOURCE = re.compile(r"\bsource\s*[\"']?\s*:")

# What Git itself refuses to check out, or what would be written into somebody's .git on another file system
# (https://git-scm.com/docs/git-fsck: hasDot, hasDotdot, hasDotgit).
_DANGEROUS = re.compile(r"(?:^|/)(?:\.{0,2}|\.git|git~1|\.git[ .]+)(?:/|$)", re.IGNORECASE)


WRONG_SIDE = "on the wrong side"
"""What a refusal says where what is live would no longer be on the line of first parents."""


def refused_refs(updates: Sequence[RefUpdate], session: Session, live: str | None) -> dict[str, str]:
    """Ref → why it cannot move there, whatever it holds. That all objects are there was checked before.

    `live` is the commit that the database has of the default branch.
    """
    reasons = {update.ref: _ref_fault(update, session, live) for update in updates}
    return {ref: reason for ref, reason in reasons.items() if reason is not None}


def _ref_fault(update: RefUpdate, session: Session, live: str | None) -> str | None:
    ref, short = update.ref, update.ref.removeprefix(BRANCHES)
    if not ref.startswith((BRANCHES, TAGS)):
        return "only branches (refs/heads/…) and tags (refs/tags/…) can be pushed here"
    if not valid_ref_name(ref):
        return "Git takes no such name (git check-ref-format), or it is mistaken for something else; choose another"
    if session.refs.get(ref, ABSENT) != update.old:
        return "it has moved meanwhile; run git fetch and try again"
    if update.new == ABSENT:
        return f"{short} is what is live; it cannot be deleted" if ref == session.default_ref else None
    if ref.startswith(BRANCHES) and not session.repository.is_commit(update.new):
        return "a branch must point to a commit"
    if ref == session.default_ref and live is not None:
        return _off_the_line(live, update.new, session.repository, short)
    return None


def _off_the_line(live: str, new: str, repository: Repository, branch: str) -> str | None:
    """Numbers go along first parents: what is live must stay on that line, or a rebuild numbers otherwise."""
    try:
        if not repository.has(live):
            return f"{live[:10]} is live and lost here; push a {branch} that has it"
        if not repository.is_ancestor(live, new):
            return f"not a fast-forward; run git pull --rebase, then push again ({branch} is never rewritten)"
        if not repository.first_parents(new, live)[1]:
            return f"its merge has {branch} {WRONG_SIDE}; run git pull --rebase, then push again"
    except UnknownRevisionError as error:
        return f"objects are missing ({error}); push again"
    return None


def commit_problems(landing: Landing, known: Known) -> set[Problem]:
    """What is wrong with the files of the landing's head, compared with what is known."""
    differing = _differing(landing, known)
    return {*_dangerous_paths(differing), *_file_problems(landing, known, differing)}


def left_problems(landing: Landing, known: Known) -> tuple[Problem, ...]:
    """What stays wrong with a head that is there already, sorted."""
    return tuple(sorted(_file_problems(landing, known, _differing(landing, known))))


def _differing(landing: Landing, known: Known) -> list[Change]:
    return list(changes(landing.view.reader.entries, known.snapshot.tree, landing.view.snapshot.tree))


def _file_problems(landing: Landing, known: Known, differing: Sequence[Change]) -> set[Problem]:
    view = landing.view
    if known.clean and still_sound(known.snapshot, view.snapshot, differing, view.reader):
        return set()
    return set(problems(view.snapshot, view.reader))


def landing_problems(landing: Landing, known: Known) -> list[Problem]:
    """What speaks against the default branch's new head, sorted.

    A head that came in behind the gate may have problems: they stop nobody who does not add to them.
    """
    view = landing.view
    found = commit_problems(landing, known)
    if found and not known.clean:
        found -= set(problems(known.snapshot, view.reader))
    found |= set(removal_problems(landing.plan.looked_at, lambda name: view.live[name].stall))
    for step in landing.plan.looked_at:
        wanted = landing.desired.wanted.get(step.name)
        if step.action == Action.REFUSED:
            found |= set(step.problems) if _touches(step.name, landing, known) else set()
        elif step.action == Action.STALLED and wanted is not None and not _told(wanted, found):
            found |= set(_unresolved(step, wanted, view))
    return sorted(found)


def _touches(deployment: str, landing: Landing, known: Known) -> bool:
    """Whether the push changes its document: places that stay are the same objects."""
    key = (Kind.DEPLOYMENT, deployment)
    return landing.view.snapshot.places.get(key) is not known.snapshot.places.get(key)


def _told(wanted: Wanted, found: set[Problem]) -> bool:
    """The rules have said it already: the pattern that its own commit should hold is missing or bad."""
    return wanted.follows_head and bool(found)


def _unresolved(step: Step, wanted: Wanted, view: View) -> Iterator[Problem]:
    """A source is checked when it is written; one that gets lost later only stalls."""
    before = step.before
    written_now = before is None or before.state == "undeployed" or _asks_else(before, wanted.asks)
    if step.reason is None or not (written_now or wanted.follows_head) or _was_there(wanted, view):
        return
    line, column = _source_place(wanted, view)
    message, _, hint = step.reason.message.partition(". ")
    yield Problem(
        path=wanted.document.path,
        line=line,
        column=column,
        code=step.reason.code,
        message=f"{message}.",
        hint=hint or "Name another source.",
    )


def _was_there(wanted: Wanted, view: View) -> bool:
    """Whether the very document stalls already: it came in behind the gate."""
    key, live = (Kind.DEPLOYMENT, wanted.name), view.live.get(wanted.name)
    if view.applied is None or live is None or live.stall is None:
        return False
    return view.applied.snapshot.places.get(key) is view.snapshot.places.get(key)


def _asks_else(before: Binding, after: Binding) -> bool:
    one, other = ((binding.pattern, binding.spec.get("source")) for binding in (before, after))
    return one != other


def _source_place(wanted: Wanted, view: View) -> tuple[int, int]:
    """Where the document says `source`; where it follows the default branch without saying so, its pattern."""
    document = wanted.document
    if "source" in document.spec:
        text_of_file = view.reader.content(view.snapshot.tree or "", document.path).decode()
        lines = text_of_file.splitlines()[document.line - 1 :]
        for number, text in enumerate(lines, document.line):
            found = _SOURCE.search(text)
            if found:
                return number, found.start() + 1
    reference = next(iter(document.references), None)
    return (reference.line, reference.column) if reference else (document.line, document.column)


def is_dangerous_path(path: str) -> bool:
    """Whether Git refuses to check it out."""
    return _DANGEROUS.search(path) is not None


def _dangerous_paths(differing: Sequence[Change]) -> Iterator[Problem]:
    for change in differing:
        if change.now is not None and is_dangerous_path(change.path):
            yield Problem(
                path=change.path,
                line=1,
                column=1,
                code="dangerous-path",
                message="Git refuses to check out a path like this.",
                hint="Remove it from the commits that you push.",
            )


def problem_lines(found: Sequence[Problem]) -> list[str]:
    """How many, then each on a line of its own, at most MOST_LINES of them."""
    if not found:
        return []
    files = len({problem.path for problem in found})
    lines = [f"{_count(len(found), 'problem')} in {_count(files, 'file')}:"]
    lines += [str(problem) for problem in found[:MOST_LINES]]
    more = len(found) - MOST_LINES
    return lines if more <= 0 else [*lines, f"… and {more} more; weft validate shows them all"]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
