"""What the refs want: the default branch's deployments, each with the version that its source comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from reconciler.freeze import Frozen
from reconciler.numbers import Ledger
from reconciler.plan import Desired, Live, Wanted
from reconciler.reader import Reader, Recent
from reconciler.repository import BRANCHES, TAGS, Commit, UnknownRevisionError
from reconciler.resolve import Resolution, Sources, resolve
from reconciler.snapshot import Snapshot, TooManyDocumentsError, advance, settle
from reconciler.steps import Binding, VersionRef
from schemas.deployment import DeploymentSpec, Source, SourceKind
from schemas.documents import Document, Kind, Metadata
from schemas.pattern import JSON
from schemas.problems import Problem

DEPLOYMENTS = "deployments/"


@dataclass(frozen=True, kw_only=True)
class View:
    """One state of all refs. `snapshot` is the default branch's head; `others` remembers other commits' by tree.

    `live` spares work: what is live and came from the commit that its source still names needs no second look.
    """

    reader: Reader
    refs: Mapping[str, str]
    default_ref: str
    head: Commit | None
    snapshot: Snapshot
    ledger: Ledger
    others: Recent[str, Snapshot]
    live: Mapping[str, Live]

    def desired(self) -> Desired:
        wanted: dict[str, Wanted] = {}
        blocked: dict[str, Problem] = {}
        for name, places in self.snapshot.of_kind(Kind.DEPLOYMENT):
            problem = self.snapshot.fault(places)
            if problem is None and places[0].document is not None:
                wanted[name] = self._wanted(places[0].document)
            elif problem is not None:
                blocked[name] = problem
        return Desired(head=self.head, wanted=wanted, blocked=blocked, unreadable=self._unreadable())

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
        files = (file for path, file in self.snapshot.files.items() if path.startswith(DEPLOYMENTS))
        nameless = (file for file in files if file.problems and not file.documents and not file.broken)
        return tuple(sorted(file.problems[0] for file in nameless))

    def _wanted(self, document: Document) -> Wanted:
        typed = document.typed
        assert isinstance(typed, DeploymentSpec)
        resolution = self._resolution(document.name, typed)
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
            follows_head=follows_head(typed, self.default_ref),
            document=document,
        )

    def reference(self, version: str | None) -> VersionRef | None:
        return None if version is None else VersionRef(id=version, number=self.ledger.number(version))

    def _resolution(self, name: str, typed: DeploymentSpec) -> Resolution:
        source = typed.source or Source(kind=SourceKind.BRANCH, value=self.default_ref.removeprefix(BRANCHES))
        commit = None if source.kind == SourceKind.VERSION else self._commit(source)
        version = self._still_live(name, typed.pattern, commit)
        if version is not None:
            return Resolution(commit=commit, version=version)
        sources = Sources(commit=lambda _: commit, frozen=self.frozen, numbered=self.ledger.id)
        try:
            return resolve(typed.pattern, source, sources)
        except TooManyDocumentsError as error:
            return Resolution(commit=commit, reason=error.reason)

    def _still_live(self, name: str, pattern: str, commit: Commit | None) -> str | None:
        live = self.live.get(name)
        if live is None or commit is None or live.tried != commit.id or live.stall is not None:
            return None
        same = live.binding.pattern == pattern and live.binding.version is not None
        return live.binding.version.id if same and live.binding.version else None

    def _commit(self, source: Source) -> Commit | None:
        if source.kind == SourceKind.COMMIT:
            revision: str | None = source.value
        else:
            ref = (BRANCHES if source.kind == SourceKind.BRANCH else TAGS) + source.value
            if ref == self.default_ref:
                return self.head
            revision = self.refs.get(ref)
        try:
            return None if revision is None else self.reader.commit(revision)
        except UnknownRevisionError:
            return None


def follows_head(spec: DeploymentSpec, default_ref: str) -> bool:
    """Whether a deployment takes its version from the very commit that holds its own document."""
    source = spec.source
    return source is None or (source.kind == SourceKind.BRANCH and BRANCHES + source.value == default_ref)


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
