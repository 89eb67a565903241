"""Merges that are only looked at: what they write goes to a folder of its own, and never into the repository."""

from __future__ import annotations

from pathlib import Path

import pygit2

MOST_NAMED = 10


def divert_writes(git: pygit2.Repository, folder: Path, objects: list[Path]) -> None:
    """From now on `git` writes to `folder`, and reads from there and from `objects`."""
    odb = pygit2.Odb(str(folder))
    for place in objects:
        odb.add_disk_alternate(str(place))
    git.set_odb(odb)


def merged_tree(git: pygit2.Repository, ours: str, theirs: str) -> tuple[str | None, list[str]]:
    """The tree of a merge, written to `git`; or None and the files that both sides changed."""
    index = git.merge_commits(pygit2.Oid(hex=ours), pygit2.Oid(hex=theirs))
    if index.conflicts is None:
        return str(index.write_tree(git)), []
    entries = (entry for conflict in index.conflicts for entry in conflict if entry is not None)
    return None, sorted({entry.path for entry in entries})


def conflict_text(files: list[str]) -> str:
    """The files of a conflict in one line, at most MOST_NAMED of them."""
    more = f" and {len(files) - MOST_NAMED} more" if len(files) > MOST_NAMED else ""
    return f"{', '.join(files[:MOST_NAMED])}{more}"
