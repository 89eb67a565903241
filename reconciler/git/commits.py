"""Commits as values, and who signs what is written."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import pygit2


@dataclass(frozen=True, kw_only=True)
class Commit:
    id: str
    tree: str
    parents: tuple[str, ...]
    author: str  # "Name <address>"
    message: str  # the first line
    at: datetime  # the committer's time, UTC


@dataclass(frozen=True, kw_only=True)
class Signed:
    """Who writes a commit or a tag, and what it says."""

    name: str
    email: str
    message: str

    @property
    def signature(self) -> pygit2.Signature:
        """With the time that it is now."""
        return pygit2.Signature(self.name, self.email, encoding="utf-8")


def commit_value(found: pygit2.Commit) -> Commit:
    """What `git` holds, as a value."""
    return Commit(
        id=str(found.id),
        tree=str(found.tree_id),
        parents=tuple(map(str, found.parent_ids)),
        author=storable(f"{found.author.name} <{found.author.email}>"),
        message=storable(found.message.strip().split("\n", 1)[0]),
        at=datetime.fromtimestamp(found.commit_time, UTC),
    )


def storable(text: str) -> str:
    """Text that PostgreSQL stores: an author's bytes may be anything."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
