"""What a state of the refs comes to: computed in full before anything is moved or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain

from reconciler.connections import connection_changes
from reconciler.description import Describing, described
from reconciler.freeze import Version
from reconciler.git.repository import Repository
from reconciler.history import FirstHeld, walk
from reconciler.numbers import Ledger
from reconciler.plan import Desired, Live, plan
from reconciler.reader import Memory, Reader, Recent
from reconciler.snapshot import EMPTY, Snapshot
from reconciler.steps import Plan, VersionRef
from reconciler.view import Applied, View
from schemas.pattern import JSON

StoredContent = Callable[[str], Mapping[str, JSON]]
"""Reads a stored version's content by id."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a process remembers of a repository: true while its row has this `generation`.

    `settled`: deployments that are live as `snapshot` wants them, and stay so for as long as it has the same
    document and the same version of the pattern. `clean`: the head's files have no problems.
    """

    generation: int
    head: str | None
    snapshot: Snapshot
    ledger: Ledger
    live: Mapping[str, Live]
    settled: frozenset[str]
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
            settled=frozenset(),
            clean=True,
            memory=Memory(),
            others=Recent(16),
        )


@dataclass(frozen=True, kw_only=True)
class Landing:
    """The default branch's new versions in order, and the plan for what is live.

    `compared`: versions by id that a commit holds which the plan is compared with, and that may not be stored.
    """

    view: View
    firsts: tuple[FirstHeld, ...]
    desired: Desired
    plan: Plan
    compared: Mapping[str, Version] = field(default_factory=dict)

    def described(self, stored: StoredContent, now: datetime) -> Plan:
        """The plan, with what it changes in words."""
        snapshot = self.view.snapshot
        held = snapshot.frozen.versions
        describing = Describing(
            content=self.content(stored),
            callers=snapshot.callers_of,
            held=lambda name: held[name].id if name in held else None,
            now=now,
        )
        return described(self.plan, describing)

    def content(self, stored: StoredContent) -> Callable[[VersionRef], Mapping[str, JSON]]:
        """Reads a version's content, whether this landing brings it or it is stored."""
        brought = {**self.compared, **{first.version.id: first.version for first in self.everything}}

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
        applied=Applied(snapshot=known.snapshot, settled=known.settled),
    )


def land(known: Known, view: View) -> Landing:
    """Everything that the view's refs bring: the default branch's commits since `known`, then the plan."""
    head = view.refs.get(view.default_ref)
    repository = view.reader.repository
    line = repository.first_parents(head, known.head)[0] if head else []
    if known.head is None:
        # What was there before the branch was rewritten has the first numbers, as it had then.
        line = [*chain(*(repository.first_parents(kept, None)[0] for kept in repository.kept_lines())), *line]
    ledger = known.ledger.copy()
    snapshot, firsts = walk(line, known.snapshot, ledger, view.reader)
    commit = view.reader.commit(head) if head else None
    ahead = replace(view, head=commit, snapshot=snapshot, ledger=ledger)
    return finish(ahead, tuple(firsts), known.head, known.snapshot)


def finish(view: View, firsts: tuple[FirstHeld, ...], base: str | None, before: Snapshot) -> Landing:
    """The landing of a view whose history is walked, against what the view says is live.

    `before`: the snapshot that connections are live from.
    """
    desired = view.desired()
    steps = plan(desired, view.live, base=base)
    changed = connection_changes(before, view.snapshot)
    return Landing(view=view, firsts=firsts, desired=desired, plan=replace(steps, connections=changed))
