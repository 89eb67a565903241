"""What differs between two trees, for people who review it."""

from __future__ import annotations

import pygit2

MOST_RENAMES = 200  # files that are compared with each other to find those that only moved


def patch_text(git: pygit2.Repository, old: str, new: str, most: int) -> tuple[str, bool]:
    """A unified diff of at most `most` bytes, cut behind a whole line, and whether there is more."""
    one, other = (git[tree].peel(pygit2.Tree) for tree in (old, new))
    diff = one.diff_to_tree(other)
    diff.find_similar(rename_limit=MOST_RENAMES)
    text = bytearray()
    for patch in diff:
        text += patch.data if patch is not None else b""
        if len(text) > most:
            end = text.rfind(b"\n", 0, most) + 1
            return text[:end].decode("utf-8", "replace"), True
    return text.decode("utf-8", "replace"), False
