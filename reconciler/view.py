"""What the refs want: the default branch's deployments, each with the version that its source comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from reconciler.freeze import Frozen, Version
from reconciler.git.commits import Commit
from reconciler.git.refs import BRANCHES
from reconciler.history import FirstHeld
from reconciler.numbers import Ledger
from reconciler.places import Found
from reconciler.plan import Desired, Live, Wanted
from reconciler.reader import Reader, Recent
from reconciler.removals import allows_removal
from reconciler.resolve import Reason, Resolution, Sources, closure, held_by, resolve
from reconciler.snapshot import Snapshot, TooManyDocumentsError, advance, settle
from reconciler.steps import Binding, VersionRef
from reconciler.tags import Tags
from reconciler.targets import Targets
from schemas.deployment import DeploymentSpec, Source, SourceKind, State
from schemas.documents import Document, Kind, Metadata
from schemas.pattern import JSON
from schemas.problems import Problem

DEPLOYMENTS = "deployments/"


@dataclass(frozen=True, kw_only=True)
class Applied:
    """The snapshot that was made live, and the deployments that only another document or version can change."""

    snapshot: Snapshot
    settled: frozenset[str]

    def settled_in(self, after: Snapshot) -> frozenset[str]:
        """Those that are so in another snapshot, too: thousands, found without looking at each."""
        kind = Kind.DEPLOYMENT
        documents = _differing(self.snapshot.places.of_kind(kind), after.places.of_kind(kind))
        patterns = _differing(self.snapshot.frozen.versions, after.frozen.versions)
        bound = {name for pattern in patterns for name in self.snapshot.bound.get(pattern, ())}
        return self.settled - documents - bound


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> set[str]:
    """Keys that do not have the very same value in both."""
    if one is other:
        return set()
    changed = {key for key, value in other.items() if one.get(key) is not value}
    return changed | (one.keys() - other.keys())


@dataclass(frozen=True, kw_only=True)
class View:
    """One state of all refs. `snapshot` is the default branch's head; `others` remembers other commits' by tree.

    `live` spares work: what came from the commit that its source still names needs no second look, and what
    `applied`, what it was made live from, holds just the same needs none at all.
    `look_back`: how many commits to look for the last good version of a deployment that the database has lost.
    """

    reader: Reader
    refs: Mapping[str, str]
    tags: Tags
    default_ref: str
    head: Commit | None
    snapshot: Snapshot
    ledger: Ledger
    others: Recent[str, Snapshot]
    live: Mapping[str, Live]
    applied: Applied | None = None
    look_back: int = 0

    def desired(self) -> Desired:
        repository = self.reader.repository
        carried = self.applied.settled_in(self.snapshot) if self.applied else frozenset()
        documents = self.snapshot.places.of_kind(Kind.DEPLOYMENT)
        settled = {name for name in documents.keys() - carried if self._is_settled(name, documents[name])}
        wanted: dict[str, Wanted] = {}
        blocked: dict[str, Problem] = {}
        for name in sorted(documents.keys() - carried - settled):
            places = documents[name]
            problem = self.snapshot.fault(places)
            if problem is None and places[0].document is not None:
                wanted[name] = self._wanted(places[0].document)
            elif problem is not None:
                blocked[name] = problem
        return Desired(
            head=self.head,
            settled=carried | settled,
            moving=frozenset(name for name in settled if self._is_moving(documents[name])),
            wanted=wanted,
            blocked=blocked,
            unreadable=self._unreadable(),
            may_remove=self.head is not None and allows_removal(repository.message(self.head.id)),
            is_empty=not self.snapshot.files,
        )

    def _is_moving(self, places: Found) -> bool:
        """Whether its source may come to another version while its document and its pattern stay as they are."""
        typed = places[0].document.typed if places[0].document else None
        source = typed.source if isinstance(typed, DeploymentSpec) else None
        return source is not None and source.kind != SourceKind.VERSION and not self._is_default(source)

    def _is_settled(self, name: str, places: Found) -> bool:
        """The very document that is live, on the version that its source still names."""
        live = self.live.get(name)
        if (
            live is None
            or self.applied is None
            or self.applied.snapshot.places.get((Kind.DEPLOYMENT, name)) is not places
        ):
            return False
        document, version = places[0].document, live.binding.version
        if document is None or version is None or not live.is_serving:
            return False
        source = document.typed.source if isinstance(document.typed, DeploymentSpec) else None
        if source is None or self._is_default(source):
            held = self.snapshot.frozen.versions.get(live.binding.pattern)
            same = held is not None and held.id == version.id
        elif source.kind == SourceKind.VERSION:
            same = self.ledger.id(live.binding.pattern, int(source.value)) == version.id
        else:
            found = self._commit(source)
            same = isinstance(found, Commit) and found.id == live.tried
        return same and version.number == self.ledger.number(version.id)

    def _source(self, typed: DeploymentSpec) -> Source:
        return typed.source or Source(kind=SourceKind.BRANCH, value=self._default_branch)

    def frozen(self, commit: Commit) -> Frozen:
        """What a commit's patterns come to."""
        return self.at(commit).frozen

    def at(self, commit: Commit) -> Snapshot:
        """Any commit's snapshot, made from what differs from the default branch's."""
        if commit.tree == self.snapshot.tree:
            return self.snapshot
        found = self.others.get(
            commit.tree, lambda: advance(self.snapshot, commit.tree, self.reader, self.ledger)
        )
        return settle(found, self.reader, self.ledger)

    def _unreadable(self) -> tuple[Problem, ...]:
        """Of deployment files that do not even tell the names of what they hold."""
        flawed = ((path, file) for path, file in self.snapshot.files.items() if file.problems)
        files = (file for path, file in flawed if path.startswith(DEPLOYMENTS))
        return tuple(sorted(file.problems[0] for file in files if not file.documents and not file.broken))

    def _wanted(self, document: Document) -> Wanted:
        typed = document.typed
        assert isinstance(typed, DeploymentSpec)
        source = self._source(typed)
        resolution = self._resolution(document.name, typed.pattern, source)
        live = self.live.get(document.name)
        if typed.state == State.ARCHIVED and (live is None or live.binding.state != State.ARCHIVED):
            resolution = self._when_archived(document, typed.pattern, source) or resolution
        last_good = None if resolution.version else self._last_good(document.name, typed.pattern, source)
        asks = Binding(
            pattern=typed.pattern,
            environment=typed.environment,
            state=typed.state,
            version=self.reference(resolution.version),
            spec=document.spec,
            metadata=metadata_json(document.metadata),
        )
        return Wanted(
            name=document.name,
            asks=asks,
            resolution=resolution,
            last_good=self.reference(last_good.version) if last_good else None,
            loose=self._loose(resolution, last_good),
            follows_head=self._is_default(source),
            document=document,
        )

    @property
    def _default_branch(self) -> str:
        return self.default_ref.removeprefix(BRANCHES)

    def _loose(self, *resolutions: Resolution | None) -> tuple[FirstHeld, ...]:
        """What resolving took from commits that the default branch has not held."""
        return tuple(
            FirstHeld(version=version, number=None, commit=found.commit)
            for found in resolutions
            if found is not None and found.commit is not None
            for version in self._needed(found)
            if self.ledger.number(version.id) is None
        )

    def _needed(self, found: Resolution) -> tuple[Version, ...]:
        """A version with all that it calls; what has a number is stored already, and so is all that it calls."""
        if found.held is None or self.ledger.number(found.held.id) is not None or found.commit is None:
            return ()
        return closure(found.held, self.frozen(found.commit))

    def _last_good(self, name: str, pattern: str, source: Source) -> Resolution | None:
        """What a deployment's branch held last, where the database does not know it any more."""
        live = self.live.get(name)
        head = self._commit(source) if source.kind == SourceKind.BRANCH else None
        if not self.look_back or not isinstance(head, Commit) or (live and live.binding.version):
            return None
        for commit in reversed(self._line(head)[-self.look_back :]):
            held = held_by(pattern, commit, self.frozen(commit))
            if held.version is not None:
                return held
        return None

    def _when_archived(self, document: Document, pattern: str, source: Source) -> Resolution | None:
        """An archived deployment keeps what its branch held in the commit that archived it."""
        if not self._is_default(source) or self.head is None:
            return None
        archiving = self.head
        for commit in reversed(self._line(self.head)):
            if not self._holds(commit, document):
                break
            archiving = commit
        return held_by(pattern, archiving, self.frozen(archiving))

    def _holds(self, commit: Commit, document: Document) -> bool:
        """Whether a commit has the same deployment; mostly its file is the same, which is seen without reading."""
        find = self.reader.repository.find_entry
        assert self.snapshot.tree is not None
        if find(commit.tree, document.path) == find(self.snapshot.tree, document.path):
            return True
        places = self.at(commit).places.get((Kind.DEPLOYMENT, document.name))
        return any(place.document is not None and place.document.spec == document.spec for place in places)

    def _line(self, head: Commit) -> list[Commit]:
        return self.reader.repository.first_parents(head.id, None)[0]

    def reference(self, version: str | None) -> VersionRef | None:
        return None if version is None else VersionRef(id=version, number=self.ledger.number(version))

    def _resolution(self, name: str, pattern: str, source: Source) -> Resolution:
        found = None if source.kind == SourceKind.VERSION else self._commit(source)
        commit = found if isinstance(found, Commit) else None
        version = self._still_live(name, pattern, commit)
        if version is not None:
            return Resolution(commit=commit, version=version)
        sources = Sources(commit=self._commit, frozen=self.frozen, numbered=self.ledger.id)
        try:
            return resolve(pattern, source, sources)
        except TooManyDocumentsError as error:
            return Resolution(commit=commit, reason=error.reason)

    def _still_live(self, name: str, pattern: str, commit: Commit | None) -> str | None:
        live = self.live.get(name)
        if live is None or commit is None or live.tried != commit.id or live.stall is not None:
            return None
        same = live.binding.pattern == pattern and live.binding.version is not None
        return live.binding.version.id if same and live.binding.version else None

    def _commit(self, source: Source) -> Commit | Reason:
        if self.head is not None and self._is_default(source):
            return self.head
        return self._targets.commit(source)

    @cached_property
    def _targets(self) -> Targets:
        return Targets(refs=self.refs, tags=self.tags, reader=self.reader)

    def _is_default(self, source: Source) -> bool:
        return source.kind == SourceKind.BRANCH and source.value == self._default_branch


def with_head(view: View, head: Commit, snapshot: Snapshot, ledger: Ledger) -> View:
    """The same refs with the default branch elsewhere."""
    refs = {**view.refs, view.default_ref: head.id}
    return replace(view, refs=refs, head=head, snapshot=snapshot, ledger=ledger)


def metadata_json(metadata: Metadata) -> dict[str, JSON]:
    """As the file writes it, without what it leaves out."""
    written = {
        "title": metadata.title,
        "description": metadata.description,
        "owner": metadata.owner,
        "sharedWith": list(metadata.shared_with),
        "public": metadata.public,
        "tags": list(metadata.tags),
        "labels": dict(metadata.labels),
    }
    return {key: value for key, value in written.items() if value}
