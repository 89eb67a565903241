"""Bringing a version's files back: what a commit must change so that a pattern is again what it was.

Only what differs is touched. A document that has a file of its own gets the whole file back, comments and all; in a
file that it shares with others, its part alone is exchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from reconciler.actions.edits import EditError, Target, added_document, document_alone, replaced_document
from reconciler.freeze import Version, canonical
from reconciler.reader import Reader
from reconciler.resolve import closure
from reconciler.snapshot import Snapshot
from schemas.documents import Kind


@dataclass(frozen=True, kw_only=True)
class Restoration:
    """From what `now` holds back to what `then` held. `files` is what has to be written."""

    now: Snapshot
    then: Snapshot
    reader: Reader
    files: dict[str, bytes] = field(default_factory=dict)

    def restore(self, pattern: str) -> None:
        """The pattern, whatever it calls, and the assets of them all. Raises EditError."""
        for version in self._lost(pattern):
            self._document(version.pattern)
            for path, digest in version.assets.items():
                if self.reader.digest(self.now.tree or "", path) != digest:
                    self.files[path] = self.reader.content(self.then.tree or "", path)

    def _lost(self, pattern: str) -> Iterator[Version]:
        """The versions of then that are others now."""
        held = self.now.frozen.versions
        for version in closure(self.then.frozen.versions[pattern], self.then.frozen):
            found = held.get(version.pattern)
            if found is None or found.id != version.id:
                yield version

    def _document(self, name: str) -> None:
        if self._is_same(name):
            return
        key = (Kind.PATTERN, name)
        places, before = self.now.places.get(key), self.then.places.get(key)[0].path
        if len(places) > 1:
            raise EditError(f"the pattern {name} stands in it twice; remove one of them")
        path = places[0].path if places else before
        alone_then = self.then.keys_in(before) == {key}
        if alone_then and (self.now.keys_in(path) == {key} if places else self._now(path) is None):
            self.files[path] = self.reader.content(self.then.tree or "", before)
            return
        old = document_alone(self.reader.content(self.then.tree or "", before).decode(), _target(name))
        text = (self._now(path) or b"").decode()
        change = replaced_document if places else added_document
        self.files[path] = change(text, _target(name), old).encode()

    def _is_same(self, name: str) -> bool:
        """Whether only what the pattern needs has changed, and not its own document."""
        draft = self.now.drafts.get(name)
        same = draft is not None and draft.fault is None
        return same and canonical(self.now.drafts[name].spec) == canonical(self.then.drafts[name].spec)

    def _now(self, path: str) -> bytes | None:
        """The file as it will be: several documents of one file may come back."""
        if path in self.files:
            return self.files[path]
        entry = self.reader.repository.find_entry(self.now.tree or "", path)
        return self.reader.repository.blob(entry[1]) if entry else None


def _target(name: str) -> Target:
    return Target(Kind.PATTERN, name)
