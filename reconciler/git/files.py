"""Files of a tree: finding one, and the tree with others."""

from __future__ import annotations

from collections.abc import Mapping

import pygit2
from pygit2.enums import FileMode

from reconciler.git.errors import PathTakenError

FILE_MODES = frozenset({"100644", "100755", "100664"})
SYMLINK_MODE = "120000"

_New = tuple[pygit2.Oid, FileMode]


def find_entry(git: pygit2.Repository, tree: str, path: str) -> tuple[str, str] | None:
    """(mode, id) at a path from the root, or None."""
    try:
        entry = git[tree].peel(pygit2.Tree)[path]
    except (KeyError, ValueError):
        return None
    return f"{entry.filemode:o}", str(entry.id)


def with_files(git: pygit2.Repository, tree: str, files: Mapping[str, bytes | None], like: str | None) -> str:
    """The tree with these files; None takes one away. Written, but nothing refers to it yet.

    A file that is there keeps its mode; a new one has that of the tree `like`, or is a plain file.
    Raises PathTakenError.
    """
    for path, content in files.items():
        entry = find_entry(git, like, path) if like else None
        mode = FileMode(int(entry[0], 8)) if entry and entry[0] in FILE_MODES else FileMode.BLOB
        new = None if content is None else (git.create_blob(content), mode)
        tree = str(_with_entry(git, git[tree].peel(pygit2.Tree), path.split("/"), new))
    return tree


def _with_entry(
    git: pygit2.Repository, tree: pygit2.Tree | None, path: list[str], new: _New | None
) -> pygit2.Oid:
    builder = git.TreeBuilder(tree) if tree is not None else git.TreeBuilder()
    name, *rest = path
    before = tree[name] if tree is not None and name in tree else None
    if before is not None and bool(rest) != isinstance(before, pygit2.Tree):
        raise PathTakenError(f"{name} is a {'file' if rest else 'folder'} there")
    if rest:
        below = before if isinstance(before, pygit2.Tree) else None
        entry, mode = _with_entry(git, below, rest, new), FileMode.TREE
    elif new is not None:
        entry, mode = new[0], before.filemode if isinstance(before, pygit2.Blob) else new[1]
    if new is None and (not rest or len(git[entry].peel(pygit2.Tree)) == 0):
        builder.remove(name)
    else:
        builder.insert(name, entry, mode)
    return builder.write()
