"""One file of a branch, read and saved. What somebody else changed meanwhile is never overwritten."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from reconciler.actions.requests import ActionRefusedError, SaveFile, Why
from reconciler.gate import is_dangerous_path
from reconciler.git.commits import Commit, Signed
from reconciler.git.errors import PathTakenError
from reconciler.git.files import FILE_MODES
from reconciler.git.refs import ABSENT, BRANCHES, RefUpdate, valid_ref_name
from reconciler.git.repository import Repository
from reconciler.session import Session

LARGEST_FILE = 1024 * 1024  # bytes
LONGEST_PATH = 1024  # bytes
LONGEST_NAME = 255  # bytes, as most file systems have it


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file as a commit holds it."""

    path: str
    ref: str
    commit: str
    blob: str
    size: int
    content: bytes


class NoFileError(Exception):
    """Nothing that can be read stands there: the message says what does."""


class LargeFileError(Exception):
    """It is larger than LARGEST_FILE."""


def blob_id(content: bytes) -> str:
    """The id under which Git stores it."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def path_fault(path: str) -> str | None:
    """Why no file can have this path, or None."""
    if not path or path.startswith("/") or is_dangerous_path(path):
        return "it takes a path from the root, with forward slashes and without `.`, `..` and `.git`"
    if not path.isprintable():
        return "a path holds no control characters"
    if len(path.encode()) > LONGEST_PATH or any(
        len(part.encode()) > LONGEST_NAME for part in path.split("/")
    ):
        return f"a path may have {LONGEST_PATH} bytes, and each name in it {LONGEST_NAME}"
    return None


def read_file(repository: Repository, path: str, revision: str | None) -> StoredFile:
    """Of the default branch where no revision is given.

    Raises NoFileError, LargeFileError, UnknownRevisionError.
    """
    ref = revision or repository.default_ref().removeprefix(BRANCHES)
    commit = repository.find(ref)
    entry = repository.find_entry(commit.tree, path) if path_fault(path) is None else None
    if entry is None:
        raise NoFileError(f"{ref} has no file {path!r:.200}.")
    if entry[0] not in FILE_MODES:
        raise NoFileError(f"{path} of {ref} is no file, but {_kind(entry[0])}.")
    size = repository.size(entry[1])
    if size > LARGEST_FILE:
        message = (
            f"{path} has {size:,} bytes, more than the {LARGEST_FILE:,} that are shown: fetch it with Git."
        )
        raise LargeFileError(message)
    return StoredFile(
        path=path, ref=ref, commit=commit.id, blob=entry[1], size=size, content=repository.blob(entry[1])
    )


def save(change: SaveFile, signed: Signed, session: Session) -> RefUpdate:
    """A commit with the file, if it is there as its author knew it. Raises ActionRefusedError."""
    ref = BRANCHES + change.branch if change.branch else session.default_ref
    if not valid_ref_name(ref):
        raise ActionRefusedError(
            Why.INVALID, f"{change.branch!r:.200} is not the name of a branch, such as main or alice/fix."
        )
    head = _start(ref, session)
    _check_base(change, ref, session.repository.find_entry(head.tree, change.path))
    try:
        tree = session.repository.with_files(head.tree, {change.path: change.content})
    except PathTakenError as error:
        raise ActionRefusedError(Why.CONFLICT, f"There can be no file {change.path}: {error}.") from error
    commit = session.repository.write_commit(tree, head.id, signed)
    return RefUpdate(ref=ref, old=session.refs.get(ref, ABSENT), new=commit)


def _start(ref: str, session: Session) -> Commit:
    head = session.refs.get(ref) or session.refs.get(session.default_ref)
    if head is None:
        branch = session.default_ref.removeprefix(BRANCHES)
        raise ActionRefusedError(Why.UNKNOWN, f"There is no {branch} yet: push one first.")
    return session.repository.commit(head)


def _check_base(change: SaveFile, ref: str, entry: tuple[str, str] | None) -> None:
    path, branch = change.path, ref.removeprefix(BRANCHES)
    if entry is None:
        if change.base is not None:
            message = f"{path} is not in {branch} any more: save it as a new file (`base` null), or leave it."
            raise ActionRefusedError(Why.CONFLICT, message)
        if change.content is None:
            raise ActionRefusedError(Why.UNKNOWN, f"{branch} has no file {path}.")
        return
    mode, blob = entry
    if mode not in FILE_MODES:
        message = f"{path} of {branch} is no file, but {_kind(mode)}."
        raise ActionRefusedError(Why.CONFLICT, message)
    if blob != change.base:
        what = "changed meanwhile" if change.base else "is there already"
        message = (
            f"{path} of {branch} {what} (it is blob {blob}): read it again, and save what you want of both."
        )
        raise ActionRefusedError(Why.CONFLICT, message)
    if change.content is not None and blob_id(change.content) == blob:
        raise ActionRefusedError(Why.CONFLICT, f"{path} of {branch} holds exactly that already.")


def _kind(mode: str) -> str:
    return {"120000": "a symbolic link", "160000": "a submodule"}.get(mode, "a folder")
