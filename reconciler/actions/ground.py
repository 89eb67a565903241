"""What an action stands on: the default branch's head in a locked repository, as it is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from reconciler.actions.requests import ActionRefusedError, Why
from reconciler.git.commits import Commit, Signed
from reconciler.git.refs import BRANCHES, RefUpdate
from reconciler.landing import Known, view_of
from reconciler.plan import ARCHIVED
from reconciler.reader import Reader
from reconciler.session import Session
from reconciler.snapshot import Snapshot
from schemas.documents import Document, Kind


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Reads whatever actions ask for, and writes the commit that they come to; no ref moves here."""

    session: Session
    known: Known

    @property
    def branch(self) -> str:
        return self.session.default_ref.removeprefix(BRANCHES)

    @cached_property
    def head(self) -> Commit:
        """Raises ActionRefusedError where nothing was ever pushed."""
        head = self.session.refs.get(self.session.default_ref)
        if head is None:
            message = f"There is no {self.branch} yet: push one first."
            raise ActionRefusedError(Why.UNKNOWN, message)
        return self.session.repository.commit(head)

    @cached_property
    def reader(self) -> Reader:
        return Reader(self.session.repository, self.known.memory)

    def content(self, path: str, tree: str | None = None) -> bytes | None:
        """What the head, or another tree, holds there; None where there is no file."""
        entry = self.session.repository.find_entry(tree or self.head.tree, path)
        return self.session.repository.blob(entry[1]) if entry else None

    def text(self, document: Document) -> str:
        """The file of a document of the head."""
        return (self.content(document.path) or b"").decode()

    def snapshot(self, commit: str) -> Snapshot:
        """Raises UnknownRevisionError, TooManyDocumentsError."""
        view = view_of(self.known, self.session.repository, self.session.refs, self.session.default_ref)
        return view.at(self.session.repository.commit(commit))

    def document(self, kind: Kind, name: str) -> Document:
        """One that is there once, and has no problems. Raises ActionRefusedError."""
        live = self.known.live.get(name) if kind is Kind.DEPLOYMENT else None
        if live is not None and live.binding.state == ARCHIVED:
            by = f"{name} was archived by commit {live.commit[:10]}, for good"
            raise ActionRefusedError(Why.CONFLICT, f"{by}: deploy its pattern under another name.")
        snapshot = self.known.snapshot
        places = snapshot.places.get((kind, name))
        if not places or self.known.head is None:
            raise ActionRefusedError(Why.UNKNOWN, f"{self.branch} has no {str(kind).lower()} {name}.")
        problem = snapshot.fault(places)
        if problem is not None or places[0].document is None:
            message = f"The file of {name} in {self.branch} has problems: {problem}"
            raise ActionRefusedError(Why.CONFLICT, message)
        return places[0].document

    def check_free(self, kind: Kind, name: str) -> None:
        """Raises ActionRefusedError where there is a document of that name."""
        places = self.known.snapshot.places.get((kind, name))
        if places:
            what = f"There is a {kind} {name} already, at {places[0].path}:{places[0].line}"
            raise ActionRefusedError(Why.CONFLICT, f"{what}: choose another name.")

    def committed(
        self, files: Mapping[str, bytes | None], signed: Signed, like: str | None = None
    ) -> RefUpdate:
        """A commit on the head with these files; None takes one away. `like`: a tree that knows their modes."""
        tree = self.session.repository.with_files(self.head.tree, files, like)
        commit = self.session.repository.write_commit(tree, self.head.id, signed)
        return RefUpdate(ref=self.session.default_ref, old=self.head.id, new=commit)
