"""A commit's documents, parsed, indexed and frozen. Values: each commit's snapshot is made from another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter

from reconciler.freeze import (
    CALL_CIRCLE,
    CALLEE_NOT_FROZEN,
    UNKNOWN_VERSION,
    Draft,
    Frozen,
    Mention,
    World,
    freeze,
)
from reconciler.numbers import Ledger
from reconciler.reader import Reader
from reconciler.repository import FILE_MODES
from reconciler.resolve import Reason
from reconciler.trees import Change, changes
from schemas.documents import Document, Kind, ParsedFile, Reference, is_document_path
from schemas.pattern import Pattern
from schemas.problems import Problem
from schemas.rules import check

MOST_DOCUMENTS = 20_000

Key = tuple[Kind, str]


@dataclass(frozen=True, kw_only=True, order=True)
class Place:
    """Where an identity stands. `document` is None where the one that stands there has problems."""

    path: str
    line: int
    column: int
    document: Document | None = field(default=None, compare=False)


class TooManyDocumentsError(Exception):
    """A tree with more document files than one repository may have."""

    reason = Reason(
        code="too-many-documents",
        message=f"This commit has more than {MOST_DOCUMENTS:,} document files. Split the repository.",
    )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`files`: every document file by path. `places`: where each kind and name stands (several: duplicates).

    `callers`: called pattern → patterns that call it; `users`: asset's path → patterns that name it.
    `fresh`: patterns frozen in the last step, so that a walk looks at nothing else.
    """

    tree: str | None = None
    files: Mapping[str, ParsedFile] = field(default_factory=dict)
    places: Mapping[Key, tuple[Place, ...]] = field(default_factory=dict)
    drafts: Mapping[str, Draft] = field(default_factory=dict)
    callers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    frozen: Frozen = field(default_factory=Frozen)
    fresh: frozenset[str] = frozenset()

    def of_kind(self, kind: Kind) -> list[tuple[str, tuple[Place, ...]]]:
        """(name, places) of every document of one kind, by name."""
        return self._by_kind.get(kind, [])

    @cached_property
    def _by_kind(self) -> Mapping[Kind, list[tuple[str, tuple[Place, ...]]]]:
        """Looked at several times on a push's way, with thousands of documents."""
        found: dict[Kind, list[tuple[str, tuple[Place, ...]]]] = {}
        for (kind, name), places in self.places.items():
            found.setdefault(kind, []).append((name, places))
        for listed in found.values():
            listed.sort(key=itemgetter(0))
        return found

    def keys_in(self, path: str) -> set[Key]:
        """Kind and name of everything that a file holds, sound or not."""
        file = self.files.get(path)
        return {key for key, _ in _places(path, file)} if file else set()

    def callers_of(self, name: str) -> list[str]:
        """The patterns that call one as this commit holds it, so that they change with it."""
        return [caller for caller in self.callers.get(name, ()) if self._follows(caller, name)]

    def _follows(self, caller: str, name: str) -> bool:
        return any(call.name == name and call.version is None for call in self.drafts[caller].calls)

    def problem_at(self, place: Place) -> Problem:
        """Why the document there cannot be used: the first problem at or below its place."""
        found = self.files[place.path].problems
        return next((problem for problem in found if problem.line >= place.line), found[0])

    def fault(self, places: tuple[Place, ...]) -> Problem | None:
        """Why what stands there cannot be used: its problems, or that it stands there twice."""
        broken = next((place for place in places if place.document is None), None)
        if broken is not None:
            return self.problem_at(broken)
        if len(places) == 1:
            return None
        first, second = places[0], places[1]
        return Problem(
            path=second.path,
            line=second.line,
            column=second.column,
            code="duplicate-document",
            message=f"this is also defined at {first.path}:{first.line}.",
            hint="Rename or remove one of the two.",
        )


EMPTY = Snapshot()


def advance(before: Snapshot, tree: str, reader: Reader, ledger: Ledger) -> Snapshot:
    """The snapshot of another tree: only what differs is parsed and frozen. Raises TooManyDocumentsError."""
    differing = list(changes(reader.entries, before.tree, tree))
    documents = [change for change in differing if is_document_path(change.path)]
    after = _with_files(before, documents, reader)
    names = {name for change in documents for name in _patterns(before, after, change.path)}
    after = _with_drafts(replace(after, tree=tree), names)
    used = {name for change in differing for name in after.users.get(change.path, ())}
    return refreeze(after, names | used, reader, ledger)


def settle(snapshot: Snapshot, reader: Reader, ledger: Ledger) -> Snapshot:
    """The same commit after more versions got numbers: a call of a number that was unknown may have one now."""
    faults = snapshot.frozen.faults
    waiting = {name for name, fault in faults.items() if fault.code == UNKNOWN_VERSION}
    return refreeze(snapshot, waiting, reader, ledger)


def refreeze(snapshot: Snapshot, names: Iterable[str], reader: Reader, ledger: Ledger) -> Snapshot:
    """With `names` and everything that calls them frozen anew."""
    affected = set(names)
    found = list(affected)
    while found:
        new = snapshot.callers.get(found.pop(), frozenset()) - affected
        affected |= new
        found.extend(new)
    if not affected:
        return replace(snapshot, fresh=frozenset())
    tree = snapshot.tree or ""
    world = World(digest=lambda path: reader.digest(tree, path), numbered=ledger.id)
    frozen = freeze(snapshot.drafts, affected, world, snapshot.frozen)
    return replace(snapshot, frozen=frozen, fresh=frozenset(affected))


def problems(snapshot: Snapshot, reader: Reader) -> tuple[Problem, ...]:
    """Everything that is wrong with a commit's files, sorted."""
    tree = snapshot.tree or ""
    found = check(snapshot.files, lambda path: reader.asset_state(tree, path))
    every = {problem for file in snapshot.files.values() for problem in file.problems} | set(found)
    told = {(problem.path, problem.line) for problem in every}
    # What only follows from another problem is told where that one is.
    echoes = {CALLEE_NOT_FROZEN, CALL_CIRCLE} if every else set()
    faults = (fault for fault in snapshot.frozen.faults.values() if fault.code not in echoes)
    return tuple(sorted({*every, *(fault for fault in faults if (fault.path, fault.line) not in told)}))


def _with_files(before: Snapshot, differing: list[Change], reader: Reader) -> Snapshot:
    files = dict(before.files)
    for change in differing:
        files.pop(change.path, None)
    come = {change.path: change.now for change in differing if change.now is not None}
    if len(files) + len(come) > MOST_DOCUMENTS:
        raise TooManyDocumentsError
    for path, (mode, blob) in come.items():
        files[path] = reader.parse(path, blob) if mode in FILE_MODES else _no_file(path)
    places = dict(before.places)
    for change in differing:
        _forget(places, change.path, before.files.get(change.path))
    for path in come:
        for key, place in _places(path, files[path]):
            places[key] = tuple(sorted((*places.get(key, ()), place)))
    return replace(before, files=files, places=places)


def _places(path: str, file: ParsedFile) -> list[tuple[Key, Place]]:
    good = [
        ((d.kind, d.name), Place(path=path, line=d.line, column=d.column, document=d)) for d in file.documents
    ]
    bad = [((b.kind, b.name), Place(path=path, line=b.line, column=b.column)) for b in file.broken]
    return good + bad


def _forget(places: dict[Key, tuple[Place, ...]], path: str, file: ParsedFile | None) -> None:
    for key in {key for key, _ in _places(path, file)} if file else ():
        left = tuple(place for place in places.get(key, ()) if place.path != path)
        if left:
            places[key] = left
        else:
            places.pop(key, None)


def _no_file(path: str) -> ParsedFile:
    problem = Problem(
        path=path, line=1, column=1, code="no-plain-file", message="this is a symbolic link or a submodule.",
        hint="Put the document itself there.",
    )  # fmt: skip
    return ParsedFile(problems=(problem,))


def _patterns(before: Snapshot, after: Snapshot, path: str) -> set[str]:
    """Names of the patterns that a file holds or held."""
    files = (snapshot.files.get(path) for snapshot in (before, after))
    return {name for file in files if file for (kind, name), _ in _places(path, file) if kind == Kind.PATTERN}


def _with_drafts(snapshot: Snapshot, names: set[str]) -> Snapshot:
    drafts, callers, users = dict(snapshot.drafts), dict(snapshot.callers), dict(snapshot.users)
    for name in names:
        old = drafts.pop(name, None)
        if old is not None:
            _unlink(callers, name, {call.name for call in old.calls})
            _unlink(users, name, {asset.name for asset in old.assets})
        if (Kind.PATTERN, name) in snapshot.places:
            new = drafts[name] = _draft(snapshot, name)
            _link(callers, name, {call.name for call in new.calls})
            _link(users, name, {asset.name for asset in new.assets})
    return replace(snapshot, drafts=drafts, callers=callers, users=users)


def _link(index: dict[str, frozenset[str]], name: str, targets: Iterable[str]) -> None:
    for target in targets:
        index[target] = index.get(target, frozenset()) | {name}


def _unlink(index: dict[str, frozenset[str]], name: str, targets: Iterable[str]) -> None:
    for target in targets:
        left = index.get(target, frozenset()) - {name}
        if left:
            index[target] = left
        else:
            index.pop(target, None)


def _draft(snapshot: Snapshot, name: str) -> Draft:
    places = snapshot.places[Kind.PATTERN, name]
    first, document = places[0], places[0].document
    references = document.references if document else ()
    return Draft(
        name=name,
        path=first.path,
        line=first.line,
        column=first.column,
        spec=document.spec if document else {},
        calls=tuple(_mention(r) for r in references if r.kind == "pattern"),
        assets=tuple(_mention(r) for r in references if r.kind == "asset"),
        callable=document is None or (isinstance(document.typed, Pattern) and document.typed.callable),
        fault=snapshot.fault(places),
    )


def _mention(reference: Reference) -> Mention:
    return Mention(
        name=reference.name, version=reference.version, line=reference.line, column=reference.column
    )
