"""A repository's tags, and which of them a glob comes to: the highest version that matches. Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

from reconciler.git.refs import TAGS
from reconciler.resolve import Reason
from reconciler.semver import SemVer, parse

NO_TAG_MATCHES = "no-tag-matches"

_CLASS = re.compile(r"\[[^\]]*\]")
_WILD = re.compile(r"[*?\[]")


class Tags:
    """The names of all tags, as one state of the refs has them. Whatever was found out about them is remembered.

    A version is what stands behind a tag's last `/`; what stands before it is its folder.
    """

    def __init__(self) -> None:
        """None; `moved` leads to others."""
        self._names: frozenset[str] = frozenset()
        self._folders: dict[str, frozenset[str]] = {}
        self._ranked: dict[str, list[tuple[SemVer, str]]] = {}
        self._highest: dict[str, str | None] = {}

    def moved(self, refs: Mapping[str, str]) -> Tags:
        """Those of other refs. What is known of a folder whose names are the same stays."""
        start = len(TAGS)
        names = frozenset([ref[start:] for ref in refs if ref.startswith(TAGS)])
        differing = names ^ self._names
        if not differing:
            return self
        touched: dict[str, set[str]] = {}
        for name in differing:
            touched.setdefault(_folder(name), set()).add(name)
        after = Tags()
        after._names = names
        after._folders = {
            **self._folders,
            **{folder: self._of(folder) ^ found for folder, found in touched.items()},
        }
        after._ranked = {folder: found for folder, found in self._ranked.items() if folder not in touched}
        return after

    def highest(self, glob: str) -> str | None:
        """The tag of the highest version that matches; of equal ones the last by name."""
        if glob not in self._highest:
            folders = (self._best(folder, glob) for folder in self._folders_of(glob))
            best = max((found for found in folders if found is not None), default=None)
            self._highest[glob] = best[1] if best else None
        return self._highest[glob]

    def why_none(self, glob: str) -> Reason:
        """Why `highest` gives none: with what does match, and what to do."""
        matching = sorted(self._matching(glob))
        versions = [name for name in matching if parse(_last(name))]
        if versions:
            message = (
                f"Of the tags that match {glob} only pre-releases are versions, such as {versions[-1]}. "
                f"Push a release, or ask for pre-releases with {glob}-*."
            )
        elif matching:
            message = (
                f"No tag that matches {glob} is a semantic version, such as {matching[-1]}. "
                "Push one that ends in three numbers, as in v1.2.0, or follow another source."
            )
        else:
            message = (
                f"No tag matches {glob}. Push one, together with this or before it, or follow another source."
            )
        return Reason(code=NO_TAG_MATCHES, message=message)

    def _of(self, folder: str) -> frozenset[str]:
        return self._folders.get(folder, frozenset())

    def _folders_of(self, glob: str) -> Iterator[str]:
        folder = _folder(glob)
        if not _WILD.search(folder):
            return iter((folder,))
        return (found for found in self._folders if _matches(folder, found))

    def _best(self, folder: str, glob: str) -> tuple[SemVer, str] | None:
        """The first of the folder's versions, highest first, that matches."""
        last, with_pre = _last(glob), names_pre_release(glob)
        for version, name in self._versions(folder):
            if (version.is_release or with_pre) and _matches(last, _last(name)):
                return version, name
        return None

    def _versions(self, folder: str) -> list[tuple[SemVer, str]]:
        if folder not in self._ranked:
            parsed = ((parse(_last(name)), name) for name in self._of(folder))
            versions = [(version, name) for version, name in parsed if version is not None]
            self._ranked[folder] = sorted(versions, reverse=True)
        return self._ranked[folder]

    def _matching(self, glob: str) -> Iterator[str]:
        for folder in self._folders_of(glob):
            yield from (name for name in self._of(folder) if _matches(_last(glob), _last(name)))


def names_pre_release(glob: str) -> bool:
    """Whether the version's part of a glob asks for pre-releases: it has a hyphen, as in `v1.2.0-*`."""
    return "-" in _CLASS.sub("", _last(glob)).partition("+")[0]


def _matches(glob: str, name: str) -> bool:
    """Part by part between slashes, so that no wildcard reaches into another folder."""
    globs, parts = glob.split("/"), name.split("/")
    return len(globs) == len(parts) and all(
        _compiled(each).match(part) for each, part in zip(globs, parts, strict=True)
    )


@lru_cache(maxsize=4096)
def _compiled(glob: str) -> re.Pattern[str]:
    """fnmatch's own memory is small for a thousand deployments; its translation never backtracks far."""
    return re.compile(fnmatch.translate(glob))


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _last(name: str) -> str:
    return name.rpartition("/")[2]
