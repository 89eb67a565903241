"""The only door to the repository: libgit2 for objects, the `git` program for refs and connectivity."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pygit2
from pygit2.enums import ConfigLevel, ObjectType, Option, SortMode

from reconciler.git.bare import make_bare
from reconciler.git.commits import Commit, Signed, commit_value, storable
from reconciler.git.diff import patch_text
from reconciler.git.errors import (
    AmbiguousRevisionError,
    GitError,
    NoCommitError,
    RefConflictError,
    UnknownRevisionError,
    UnmergeableError,
)
from reconciler.git.files import find_entry, with_files
from reconciler.git.merging import conflict_text, divert_writes, merged_tree
from reconciler.git.program import run_git
from reconciler.git.refs import ABSENT, BRANCHES, LINES, TAGS, RefUpdate, valid_ref_name

_NEIGHBOURS = re.compile(r"'(refs/[^']+)' exists; cannot create '(refs/[^']+)'")
_TREE_ENTRY = re.compile(rb"[0-7]+ [^\0]+\0.{20}", re.DOTALL)


Entry = bytes
"""One entry of a tree as Git writes it: mode in octal, a space, the name, NUL, 20 bytes of object id."""


class Repository:
    """One bare repository, optionally with the objects of a push that waits at the gate. Not thread-safe."""

    def __init__(self, path: Path, *, quarantine: Path | None = None) -> None:
        _isolate()
        self.path = path
        self.quarantine = quarantine
        try:
            self._git = pygit2.Repository(str(path))
        except pygit2.GitError as error:
            raise GitError(f"{path} is not a Git repository ({error}).") from error
        if quarantine is not None:
            self._git.odb.add_disk_alternate(str(quarantine))

    @classmethod
    def ensure(cls, path: Path) -> Repository:
        """The repository at `path`, made if it is not there (with HEAD on `main`)."""
        if not (path / "HEAD").exists():
            make_bare(path)
        return cls(path)

    def refs(self) -> dict[str, str]:
        """Branches and tags → the id they hold (for an annotated tag the tag object's)."""
        found = {}
        for ref in self._git.references.iterator():
            if ref.name.startswith((BRANCHES, TAGS)) and isinstance(ref.target, pygit2.Oid):
                found[ref.name] = str(ref.target)
        return found

    def default_ref(self) -> str:
        """What HEAD points to, whether it is there or not."""
        return str(self._git.references["HEAD"].target)

    def set_default_ref(self, ref: str) -> None:
        run_git(self.path, "symbolic-ref", "HEAD", ref)

    def kept_lines(self) -> list[str]:
        """Heads that the default branch had when it was rewritten, the first one first."""
        found = {ref.name: str(ref.target) for ref in self._git.references.iterator()}
        return [at for ref, at in sorted(found.items()) if ref.startswith(LINES)]

    def keep_line(self, head: str) -> None:
        """Numbers come from history: what the default branch held once must not be lost to a rebuild."""
        kept = self.kept_lines()
        if head not in kept:
            ref = f"{LINES}{len(kept) + 1:06}"
            self.update_refs([RefUpdate(ref=ref, old=ABSENT, new=head)])

    def has(self, object_id: str) -> bool:
        return object_id in self._git

    def commit(self, object_id: str) -> Commit:
        """The commit of what a ref holds, a tag peeled. Raises UnknownRevisionError, NoCommitError."""
        found = self._object(object_id)
        try:
            return commit_value(found.peel(pygit2.Commit))
        except pygit2.GitError as error:
            raise NoCommitError(object_id, _kind(found)) from error

    def commit_id(self, beginning: str) -> str:
        """The id of the one commit whose id begins so; other objects whose ids do are no rivals of it.

        Raises UnknownRevisionError, NoCommitError, AmbiguousRevisionError.
        """
        try:
            found = self._object(beginning)
        except AmbiguousRevisionError:
            return self._disambiguated(beginning)
        if found.type != ObjectType.COMMIT:
            raise NoCommitError(beginning, found.type_str)
        return str(found.id)

    def _object(self, beginning: str) -> pygit2.Object:
        try:
            return self._git[beginning]
        except pygit2.AmbiguousError as error:
            raise AmbiguousRevisionError(f"Several objects begin with {beginning}.") from error
        except (KeyError, pygit2.GitError) as error:
            raise UnknownRevisionError(f"There is no commit {beginning}.") from error

    def _disambiguated(self, beginning: str) -> str:
        """Rare enough to ask `git`, which lists all objects of a short id."""
        option = f"--disambiguate={beginning}"
        listed = run_git(self.path, "rev-parse", option, environment=self._object_directories()).split()
        commits = [object_id for object_id in listed if self.is_commit(object_id)]
        if len(commits) > 1:
            raise AmbiguousRevisionError(f"{len(commits)} commits begin with {beginning}.")
        if not commits:
            raise UnknownRevisionError(f"There is no commit {beginning}.")
        return commits[0]

    def find(self, revision: str) -> Commit:
        """The commit of what a person types: a branch (first: a tag may have its name), a tag, an id, `main~2`.

        Raises UnknownRevisionError.
        """
        branch = f"{BRANCHES}{revision}"
        exact = branch if valid_ref_name(branch) and branch in self._git.references else revision
        try:
            return commit_value(self._git.revparse_single(exact).peel(pygit2.Commit))
        except (KeyError, ValueError, pygit2.GitError, pygit2.InvalidSpecError) as error:
            raise UnknownRevisionError(
                f"There is no commit {revision}: name a branch, a tag or a commit id that was pushed."
            ) from error

    def is_commit(self, object_id: str) -> bool:
        """Whether a branch may point there (a tag may point to anything)."""
        return object_id in self._git and self._git[object_id].type == ObjectType.COMMIT

    def first_parents(self, head: str, until: str | None) -> tuple[list[Commit], bool]:
        """Commits behind `until` up to `head` by first parents, oldest first, and whether `until` was met.

        With `until` None or not on that line, the list goes back to the root.
        """
        line: list[Commit] = []
        at: str | None = head
        while at is not None and at != until:
            commit = self.commit(at)
            line.append(commit)
            at = commit.parents[0] if commit.parents else None
        line.reverse()
        return line, at is not None and at == until

    def is_ancestor(self, ancestor: str, of: str) -> bool:
        return ancestor == of or self._git.descendant_of(of, ancestor)

    def message(self, commit: str) -> str:
        """All of a commit's message. Raises UnknownRevisionError."""
        return storable(self._git[self.commit(commit).id].peel(pygit2.Commit).message)

    @contextmanager
    def scratch(self) -> Iterator[Repository]:
        """The same repository, to try things out: what is written to it is gone in the end."""
        twin = Repository(self.path)
        objects = [self.path / "objects", *([self.quarantine] if self.quarantine else [])]
        with TemporaryDirectory(prefix="weft-merge-") as folder:
            divert_writes(twin._git, Path(folder), objects)
            yield twin

    def merge(self, ours: str, theirs: str, signed: Signed | None = None) -> Commit:
        """A merge of `theirs` into `ours`, written here and held by no ref: to try one out, take a scratch.

        `signed` None: with the message and author of `theirs`. Raises UnmergeableError.
        """
        base = self.merge_base(ours, theirs)
        if base is None:
            raise UnmergeableError(f"{theirs[:10]} and {ours[:10]} have no common history: rebase it first.")
        # Mostly one side has nothing of its own, and thousands of files need not be compared.
        tree, files = self.commit(theirs).tree if base == ours else None, list[str]()
        if tree is None:
            tree, files = merged_tree(self._git, ours, theirs)
        if tree is None:
            both = conflict_text(files)
            message = f"{theirs[:10]} conflicts with {ours[:10]} in {both}: merge or rebase it first."
            raise UnmergeableError(message, files)
        like = self._git[theirs].peel(pygit2.Commit)
        people, message = (like.author, like.committer), like.message
        if signed is not None:
            people, message = (signed.signature,) * 2, signed.message
        parents = [pygit2.Oid(hex=ours), pygit2.Oid(hex=theirs)]
        made = self._git.create_commit(None, *people, message, pygit2.Oid(hex=tree), parents)
        return self.commit(str(made))

    def ahead(self, head: str, of: str | None) -> list[Commit]:
        """The commits that `head` has and `of` has not, newest first."""
        walker = self._git.walk(pygit2.Oid(hex=head), SortMode.TOPOLOGICAL)
        if of is not None:
            walker.hide(pygit2.Oid(hex=of))
        return [commit_value(found) for found in walker]

    def diff(self, old: str, new: str, most: int) -> tuple[str, bool]:
        """What differs between two trees, as a patch of at most `most` bytes, and whether there is more."""
        return patch_text(self._git, old, new, most)

    def merge_base(self, one: str, other: str) -> str | None:
        base = self._git.merge_base(one, other)
        return None if base is None else str(base)

    def entries(self, tree: str) -> frozenset[Entry]:
        """What a tree holds, one level. A regular expression over raw bytes: ten times pygit2's iteration."""
        return frozenset(_TREE_ENTRY.findall(self._git[tree].read_raw()))

    def find_entry(self, tree: str, path: str) -> tuple[str, str] | None:
        """(mode, id) at a path from the root, or None."""
        return find_entry(self._git, tree, path)

    def size(self, blob: str) -> int:
        return int(self._git.odb.read_header(pygit2.Oid(hex=blob))[1])

    def blob(self, blob: str) -> bytes:
        return bytes(self._git[blob].read_raw())

    def empty_tree(self) -> str:
        """The tree that holds nothing, written here."""
        return str(self._git.TreeBuilder().write())

    def with_files(self, tree: str, files: Mapping[str, bytes | None], like: str | None = None) -> str:
        """The tree with these files; None takes one away. Written, but nothing refers to it yet.

        A file that is there keeps its mode; a new one has that of the tree `like`, or is a plain file.
        Raises PathTakenError.
        """
        return with_files(self._git, tree, files, like)

    def write_commit(self, tree: str, parent: str, signed: Signed) -> str:
        """A commit that no ref holds yet."""
        who = signed.signature
        return str(self._git.create_commit(None, who, who, signed.message, pygit2.Oid(hex=tree), [parent]))

    def write_tag(self, name: str, commit: str, signed: Signed) -> str:
        """An annotated tag's object that no ref holds yet."""
        who = signed.signature
        at = f"{who.time} {'-' if who.offset < 0 else '+'}{abs(who.offset) // 60:02}{abs(who.offset) % 60:02}"
        head = f"object {commit}\ntype commit\ntag {name}\ntagger {signed.name} <{signed.email}> {at}\n"
        return str(self._git.odb.write(ObjectType.TAG, f"{head}\n{signed.message}".encode()))

    def check_connected(self, ids: Sequence[str]) -> None:
        """That all that `ids` reach and no ref does is here. Raises GitError naming what is missing."""
        if ids:
            run_git(
                self.path,
                *("rev-list", "--objects", "--quiet", "--stdin", "--not", "--all"),
                stdin="\n".join(ids) + "\n",
                environment=self._object_directories(),
            )

    def _object_directories(self) -> Mapping[str, str]:
        return {} if self.quarantine is None else {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(self.quarantine)}

    def update_refs(self, updates: Sequence[RefUpdate]) -> None:
        """Move all of them or none. Raises RefConflictError."""
        lines = ["start", *map(_update_line, updates), "prepare", "commit"]
        try:
            run_git(self.path, "update-ref", "--stdin", stdin="\n".join(lines) + "\n")
        except GitError as error:
            raise RefConflictError(_in_the_way(str(error)) or str(error)) from error


def _in_the_way(said: str) -> str | None:
    """Of what Git says when a ref stands where another one needs a folder, which is there and what to do."""
    found = _NEIGHBOURS.search(said)
    if found is None:
        return None
    there, wanted = found.groups()
    return f"{there} is there, and Git keeps no {wanted} beside it; choose another name"


@cache
def _isolate() -> None:
    """libgit2 reads no configuration but the repository's, and takes a data folder that another user owns."""
    for level in (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL):
        pygit2.option(Option.SET_SEARCH_PATH, level, "")
    pygit2.option(Option.SET_OWNER_VALIDATION, False)
    # What we write ourselves is on disk before anybody hears of it, too.
    pygit2.option(Option.ENABLE_FSYNC_GITDIR, True)


def _kind(found: pygit2.Object) -> str:
    """What an object is; of a tag that which it is on in the end."""
    while isinstance(found, pygit2.Tag):
        found = found.get_object()
    return found.type_str


def _update_line(update: RefUpdate) -> str:
    if update.new == ABSENT:
        return f"delete {update.ref} {update.old}"
    return f"update {update.ref} {update.new} {update.old}"
