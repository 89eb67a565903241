"""What can be wrong with a repository, or with what somebody asks of it."""

from __future__ import annotations

from collections.abc import Sequence


class GitError(Exception):
    """Git could not do it: the message says what, and what Git said."""


class UnknownRevisionError(GitError):
    """A branch, tag or commit that this repository does not have."""


class NoCommitError(UnknownRevisionError):
    """It is there, and no commit: `kind` says what it is ("blob", "tree", "tag")."""

    def __init__(self, revision: str, kind: str) -> None:
        super().__init__(f"{revision} is a {kind}, not a commit.")
        self.kind = kind


class AmbiguousRevisionError(UnknownRevisionError):
    """The short id of several."""


class RefConflictError(GitError):
    """A ref is not where the update says it was, or cannot be written: nothing has moved."""


class UnmergeableError(GitError):
    """Two commits of which nobody can say what their merge is. `files` are those that both changed."""

    def __init__(self, message: str, files: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.files = tuple(files)


class PathTakenError(GitError):
    """A file cannot stand there: a folder does, or a file where a folder would have to be."""
