"""A commit's documents, parsed, indexed and frozen. Values: each commit's snapshot is made from another's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

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
from reconciler.git.files import FILE_MODES
from reconciler.git.trees import Change, changes
from reconciler.numbers import Ledger
from reconciler.places import Found, Key, Place, Places, keys_of
from reconciler.reader import Reader
from reconciler.resolve import Reason
from schemas.deployment import DeploymentSpec
from schemas.documents import Kind, ParsedFile, Reference, is_document_path
from schemas.pattern import Pattern
from schemas.pattern_test import PatternTest
from schemas.problems import Problem
from schemas.rules import check

MOST_DOCUMENTS = 20_000


class TooManyDocumentsError(Exception):
    """A tree with more document files than one repository may have."""

    reason = Reason(
        code="too-many-documents",
        message=f"This commit has more than {MOST_DOCUMENTS:,} document files. Split the repository.",
    )


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """`files`: every document file by path. `places`: where each kind and name stands (several: duplicates).

    `callers`: called pattern → patterns that call it; `users`: asset's path → patterns that name it;
    `bound`: deployed pattern → deployments that bind it; `tried`: pattern → tests that try it.
    `fresh`: patterns frozen in the last step, so that a walk looks at nothing else.
    """

    tree: str | None = None
    files: Mapping[str, ParsedFile] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    drafts: Mapping[str, Draft] = field(default_factory=dict)
    callers: Mapping[str, frozenset[str]] = field(default_factory=dict)
    users: Mapping[str, frozenset[str]] = field(default_factory=dict)
    bound: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tried: Mapping[str, frozenset[str]] = field(default_factory=dict)
    frozen: Frozen = field(default_factory=Frozen)
    fresh: frozenset[str] = frozenset()

    def keys_in(self, path: str) -> set[Key]:
        """Kind and name of everything that a file holds, sound or not."""
        file = self.files.get(path)
        return set(keys_of(file)) if file else set()

    def callers_of(self, name: str) -> list[str]:
        """The patterns that call one as this commit holds it, so that they change with it."""
        return [caller for caller in self.callers.get(name, ()) if self._follows(caller, name)]

    def _follows(self, caller: str, name: str) -> bool:
        return any(call.name == name and call.version is None for call in self.drafts[caller].calls)

    def problem_at(self, place: Place) -> Problem:
        """Why the document there cannot be used: the first problem at or below its place."""
        found = self.files[place.path].problems
        return next((problem for problem in found if problem.line >= place.line), found[0])

    def fault(self, places: Found) -> Problem | None:
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
    keys = {key for change in documents for side in (before, after) for key in side.keys_in(change.path)}
    names = {name for kind, name in keys if kind == Kind.PATTERN}
    after = _with_drafts(replace(after, tree=tree), names)
    after = replace(
        after,
        bound=_reindexed(after.bound, before, after, {key for key in keys if key[0] == Kind.DEPLOYMENT}),
        tried=_reindexed(after.tried, before, after, {key for key in keys if key[0] == Kind.PATTERN_TEST}),
    )
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
    gone = {change.path: before.files[change.path] for change in differing if change.path in before.files}
    places = before.places.replaced(gone, {path: files[path] for path in come})
    return replace(before, files=files, places=places)


def _no_file(path: str) -> ParsedFile:
    problem = Problem(
        path=path, line=1, column=1, code="no-plain-file", message="this is a symbolic link or a submodule.",
        hint="Put the document itself there.",
    )  # fmt: skip
    return ParsedFile(problems=(problem,))


def _with_drafts(snapshot: Snapshot, names: set[str]) -> Snapshot:
    drafts, callers, users = dict(snapshot.drafts), dict(snapshot.callers), dict(snapshot.users)
    for name in names:
        old = drafts.pop(name, None)
        if old is not None:
            _unlink(callers, name, {call.name for call in old.calls})
            _unlink(users, name, {asset.name for asset in old.assets})
        if snapshot.places.get((Kind.PATTERN, name)):
            new = drafts[name] = _draft(snapshot, name)
            _link(callers, name, {call.name for call in new.calls})
            _link(users, name, {asset.name for asset in new.assets})
    return replace(snapshot, drafts=drafts, callers=callers, users=users)


def _reindexed(
    index: Mapping[str, frozenset[str]], before: Snapshot, after: Snapshot, keys: Iterable[Key]
) -> dict[str, frozenset[str]]:
    """Pattern → names of the documents that name it, where those at `keys` have changed."""
    new = dict(index)
    for key in keys:
        _unlink(new, key[1], _patterns_named(before.places.get(key)))
        _link(new, key[1], _patterns_named(after.places.get(key)))
    return new


def _patterns_named(places: Found) -> list[str]:
    """The patterns that a deployment's, or a test's, documents name."""
    typed = (place.document.typed for place in places if place.document is not None)
    return [one.pattern for one in typed if isinstance(one, DeploymentSpec | PatternTest)]


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
    places = snapshot.places.get((Kind.PATTERN, name))
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
