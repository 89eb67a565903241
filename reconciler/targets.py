"""What a source points to: the commit of a branch, a tag or an id, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.git.commits import Commit
from reconciler.git.errors import AmbiguousRevisionError, NoCommitError, UnknownRevisionError
from reconciler.git.refs import BRANCHES, TAGS
from reconciler.reader import Reader
from reconciler.resolve import Reason
from reconciler.tags import Tags
from schemas.deployment import Source, SourceKind

BRANCH_NOT_FOUND = "branch-not-found"
TAG_NOT_FOUND = "tag-not-found"
TAG_WITHOUT_COMMIT = "tag-without-commit"
COMMIT_NOT_FOUND = "commit-not-found"
NO_COMMIT = "not-a-commit"
AMBIGUOUS_COMMIT = "ambiguous-commit"


@dataclass(frozen=True, kw_only=True)
class Targets:
    """One state of the refs, and the objects behind them: each source is looked for once."""

    refs: Mapping[str, str]
    tags: Tags
    reader: Reader
    _found: dict[Source, Commit | Reason] = field(default_factory=dict, init=False)

    def commit(self, source: Source) -> Commit | Reason:
        """Of a source other than a version's number."""
        if source not in self._found:
            self._found[source] = self._look_for(source)
        return self._found[source]

    def _look_for(self, source: Source) -> Commit | Reason:
        match source.kind:
            case SourceKind.COMMIT:
                return self._identified(source.value)
            case SourceKind.BRANCH:
                return self._under(BRANCHES + source.value, _no_branch(source.value))
            case SourceKind.TAG:
                return self._tagged(source.value)
            case _:
                highest = self.tags.highest(source.value)
                return self.tags.why_none(source.value) if highest is None else self._tagged(highest)

    def _tagged(self, name: str) -> Commit | Reason:
        """The highest of several tags decides even when nothing can be had from it: whoever pushed it meant it."""
        try:
            return self._under(TAGS + name, _no_tag(name))
        except NoCommitError as error:
            message = (
                f"The tag {name} is on a {error.kind}, not on a commit. "
                "Move it to a commit, delete it, or follow another source."
            )
            return Reason(code=TAG_WITHOUT_COMMIT, message=message)

    def _under(self, ref: str, missing: Reason) -> Commit | Reason:
        try:
            return self.reader.commit(self.refs[ref])
        except NoCommitError:
            raise
        except (KeyError, UnknownRevisionError):
            return missing

    def _identified(self, beginning: str) -> Commit | Reason:
        try:
            return self.reader.commit(self.reader.repository.commit_id(beginning))
        except AmbiguousRevisionError as error:
            message = f"{error} Write more digits of the one that you mean."
            return Reason(code=AMBIGUOUS_COMMIT, message=message)
        except NoCommitError as error:
            message = f"{beginning} is a {error.kind}, not a commit. Name the id of a commit."
            return Reason(code=NO_COMMIT, message=message)
        except UnknownRevisionError:
            message = (
                f"There is no commit {beginning} in this repository. Push it, or name one that is there."
            )
            return Reason(code=COMMIT_NOT_FOUND, message=message)


def _no_branch(name: str) -> Reason:
    message = f"There is no branch {name}. Push it (again), or follow another source."
    return Reason(code=BRANCH_NOT_FOUND, message=message)


def _no_tag(name: str) -> Reason:
    message = f"There is no tag {name}. Push it (again), or follow another source."
    return Reason(code=TAG_NOT_FOUND, message=message)
