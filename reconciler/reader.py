"""Objects read through a memory: a blob is parsed and hashed once, however many commits hold it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Generic, TypeVar

from reconciler.git.commits import Commit
from reconciler.git.files import FILE_MODES, SYMLINK_MODE
from reconciler.git.repository import Entry, Repository
from reconciler.tags import Tags
from schemas.documents import ParsedFile, parse_file
from schemas.rules import AssetState

LARGEST_DOCUMENT = 256 * 1024  # bytes; parse_file says so about anything larger
LARGEST_ASSET = 16 * 1024 * 1024  # bytes

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps what was used last. Not thread-safe: used under the organisation's lock."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K, make: Callable[[], V]) -> V:
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        value = self._kept[key] = make()
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return value

    def peek(self, key: K) -> V | None:
        """What is kept, and None where nothing is."""
        return self._kept.get(key)

    def put(self, key: K, value: V) -> None:
        """Instead of what was kept."""
        self._kept.pop(key, None)
        self.get(key, lambda: value)


class Memory:
    """What reading has learnt about objects, by id: true whatever happens to refs."""

    def __init__(self) -> None:
        self.parsed: Recent[tuple[str, str], ParsedFile] = Recent(25_000)
        self.digests: Recent[str, str] = Recent(50_000)
        self.trees: Recent[str, frozenset[Entry]] = Recent(256)
        self.commits: Recent[str, Commit] = Recent(25_000)
        self._tags = Tags()

    def tags(self, refs: Mapping[str, str]) -> Tags:
        """Those of `refs`, from those that were asked for last: mostly they are the same."""
        self._tags = self._tags.moved(refs)
        return self._tags


class Reader:
    """One repository as snapshots see it."""

    def __init__(self, repository: Repository, memory: Memory) -> None:
        self.repository = repository
        self._memory = memory

    def commit(self, object_id: str) -> Commit:
        """The commit of what a ref holds, a tag peeled. Raises UnknownRevisionError, NoCommitError."""
        return self._memory.commits.get(object_id, lambda: self.repository.commit(object_id))

    def entries(self, tree: str) -> frozenset[Entry]:
        return self._memory.trees.get(tree, lambda: self.repository.entries(tree))

    def parse(self, path: str, blob: str) -> ParsedFile:
        return self._memory.parsed.get((path, blob), lambda: parse_file(path, self._bounded(blob)))

    def _bounded(self, blob: str) -> bytes:
        """A document's bytes; of one that is too large just enough to be refused for it."""
        if self.repository.size(blob) > LARGEST_DOCUMENT:
            return b" " * (LARGEST_DOCUMENT + 1)
        return self.repository.blob(blob)

    def digest(self, tree: str, path: str) -> str | None:
        """SHA-256 of the file at `path`; None when it is no plain file, or too large to freeze."""
        entry = self.repository.find_entry(tree, path)
        if entry is None or entry[0] not in FILE_MODES or self.repository.size(entry[1]) > LARGEST_ASSET:
            return None
        blob = entry[1]
        return self._memory.digests.get(blob, lambda: hashlib.sha256(self.repository.blob(blob)).hexdigest())

    def content(self, tree: str, path: str) -> bytes:
        """The bytes of a file that `digest` knows."""
        entry = self.repository.find_entry(tree, path)
        assert entry is not None
        return self.repository.blob(entry[1])

    def asset_state(self, tree: str, path: str) -> AssetState:
        """What stands at a path, for the rules. A path that leads through a link counts as one."""
        entry = self.repository.find_entry(tree, path)
        if entry is None:
            return AssetState.SYMLINK if self._behind_link(tree, path) else AssetState.ABSENT
        if entry[0] == SYMLINK_MODE:
            return AssetState.SYMLINK
        return AssetState.PRESENT if entry[0] in FILE_MODES else AssetState.DIRECTORY

    def _behind_link(self, tree: str, path: str) -> bool:
        folders = path.split("/")[:-1]
        above = ("/".join(folders[: n + 1]) for n in range(len(folders)))
        entries = (self.repository.find_entry(tree, folder) for folder in above)
        return any(entry is not None and entry[0] == SYMLINK_MODE for entry in entries)
