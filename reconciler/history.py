"""Along the default branch's first parents: every commit's new versions, in order, with their numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from reconciler.freeze import Version
from reconciler.git.commits import Commit
from reconciler.numbers import Ledger
from reconciler.reader import Reader
from reconciler.snapshot import Snapshot, advance, settle


@dataclass(frozen=True, kw_only=True)
class FirstHeld:
    """A version and the commit that first held it. `number` is None off the default branch."""

    version: Version
    number: int | None
    commit: Commit


def _fresh(snapshot: Snapshot) -> Iterator[Version]:
    versions = snapshot.frozen.versions
    return (versions[name] for name in snapshot.fresh if name in versions)


def walk(
    commits: Iterable[Commit], snapshot: Snapshot, ledger: Ledger, reader: Reader
) -> tuple[Snapshot, list[FirstHeld]]:
    """From `snapshot` over `commits` (oldest first): the last one's snapshot, and what each held first.

    `ledger` grows on the way. Calls of a number that the same commit brings are settled in further rounds.
    """
    found: list[FirstHeld] = []
    for commit in commits:
        snapshot = advance(snapshot, commit.tree, reader, ledger)
        while new := ledger.add(_fresh(snapshot)):
            found += [FirstHeld(version=v, number=ledger.number(v.id), commit=commit) for v in new]
            snapshot = settle(snapshot, reader, ledger)
    return snapshot, found
