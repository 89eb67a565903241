"""The heads of pull requests in our repository: private refs, which nobody pushes to and no clone gets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from reconciler.forges.address import ForgeKind
from reconciler.forges.errors import TryLaterError
from reconciler.git.errors import GitError
from reconciler.git.program import run_git
from reconciler.upstream.remote import RemoteError

PREFIX = "refs/weft/pulls/"


class Fetcher(Protocol):
    """The upstream, as far as heads need it."""

    def fetch(self, repository: Path, refspecs: Sequence[str]) -> None: ...

    def close(self) -> None: ...


def head_ref(kind: ForgeKind, number: int) -> str:
    """Where we keep a pull request's head."""
    return f"{PREFIX}{kind}/{number}"


def fetch_head(upstream: Fetcher, repository: Path, source: str, target: str) -> str:
    """The commit that `source` of the upstream holds, which `target` holds from now on. Raises TryLaterError."""
    try:
        upstream.fetch(repository, [f"+{source}:{target}"])
        return run_git(repository, "rev-parse", "--verify", f"{target}^{{commit}}").strip()
    except (RemoteError, GitError) as error:
        raise TryLaterError(str(error)) from None


def forget_head(repository: Path, target: str) -> None:
    """Its objects go with the next garbage collection."""
    run_git(repository, "update-ref", "-d", target)
