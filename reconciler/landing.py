"""What a state of the refs comes to: computed in full before anything is moved or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from reconciler.history import FirstHeld, walk
from reconciler.numbers import Ledger
from reconciler.plan import Desired, Live, plan
from reconciler.reader import Memory, Reader, Recent
from reconciler.repository import Commit, Repository
from reconciler.snapshot import EMPTY, Snapshot
from reconciler.steps import Plan, VersionRef
from reconciler.view import View, with_head
from schemas.pattern import JSON

StoredContent = Callable[[str], Mapping[str, JSON]]
"""Reads a stored version's content by id."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a process remembers of a repository: true while its row has this `generation`.

    `clean`: the head's files have no problems.
    """

    generation: int
    head: str | None
    snapshot: Snapshot
    ledger: Ledger
    live: Mapping[str, Live]
    clean: bool
    memory: Memory
    others: Recent[str, Snapshot]

    @classmethod
    def nothing(cls) -> Known:
        return cls(
            generation=0,
            head=None,
            snapshot=EMPTY,
            ledger=Ledger(),
            live={},
            clean=True,
            memory=Memory(),
            others=Recent(16),
        )


@dataclass(frozen=True, kw_only=True)
class Landing:
    """The default branch's new versions in order, and the plan for what is live."""

    view: View
    firsts: tuple[FirstHeld, ...]
    desired: Desired
    plan: Plan

    def content(self, stored: StoredContent) -> Callable[[VersionRef], Mapping[str, JSON]]:
        """Reads a version's content, whether this landing brings it or it is stored."""
        brought = {first.version.id: first.version for first in self.everything}

        def read(version: VersionRef) -> Mapping[str, JSON]:
            found = brought.get(version.id)
            return found.content if found else stored(version.id)

        return read

    @property
    def everything(self) -> tuple[FirstHeld, ...]:
        """`firsts`, and what deployments take from other branches, tags and commits."""
        loose = {first.version.id: first for want in self.desired.wanted.values() for first in want.loose}
        return (*self.firsts, *loose.values())


def view_of(known: Known, repository: Repository, refs: Mapping[str, str], default_ref: str) -> View:
    """Refs as given, over what is remembered; the default branch's head is not looked at yet."""
    return View(
        reader=Reader(repository, known.memory),
        refs=refs,
        tags=known.memory.tags(refs),
        default_ref=default_ref,
        head=None,
        snapshot=known.snapshot,
        ledger=known.ledger,
        others=known.others,
        live=known.live,
        applied=known.snapshot,
    )


def land(known: Known, view: View, stored: StoredContent) -> Landing:
    """Everything that the view's refs bring: the default branch's commits since `known`, then the plan."""
    head = view.refs.get(view.default_ref)
    line = view.reader.repository.first_parents(head, known.head)[0] if head else []
    ledger = known.ledger.copy()
    snapshot, firsts = walk(line, known.snapshot, ledger, view.reader)
    commit = view.reader.commit(head) if head else None
    ahead = replace(view, head=commit, snapshot=snapshot, ledger=ledger)
    return finish(ahead, tuple(firsts), stored, known.head)


def finish(view: View, firsts: tuple[FirstHeld, ...], stored: StoredContent, base: str | None) -> Landing:
    """The landing of a view whose history is walked, against what the view says is live."""
    desired = view.desired()
    landing = Landing(view=view, firsts=firsts, desired=desired, plan=Plan(base=base, head=None))
    content = landing.content(stored)
    return replace(landing, plan=plan(desired, view.live, content, base=base))


def hypothetical(
    known: Known, view: View, base: Commit | None, head: Commit, stored: StoredContent
) -> Landing:
    """What would be live with the default branch at `head`, compared with `base` (None: with what is live).

    Without a base, a head that does not descend from what is live is compared with where the two parted:
    what the default branch has done since is not the head's doing.
    """
    repository = view.reader.repository
    line, descends = repository.first_parents(head.id, known.head)
    if base is None and known.head is not None and not repository.is_ancestor(known.head, head.id):
        parted = repository.merge_base(known.head, head.id)
        base = repository.commit(parted) if parted else None
    ledger = known.ledger.copy()
    new = line if descends or known.head is None else [head]
    snapshot, firsts = walk(new, known.snapshot, ledger, view.reader)
    ahead = with_head(view, head, snapshot, ledger)
    if base is not None:
        ahead = replace(ahead, live=_as_if_live(known, view, base, stored), applied=None)
    return finish(ahead, tuple(firsts), stored, base.id if base else known.head)


def _as_if_live(known: Known, view: View, base: Commit, stored: StoredContent) -> dict[str, Live]:
    at_base = replace(with_head(view, base, view.at(base), known.ledger), live={}, applied=None)
    steps = finish(at_base, (), stored, None).plan.steps
    bindings = ((step.name, step.after) for step in steps)
    return {name: Live(name=name, binding=after, commit=base.id) for name, after in bindings if after}
