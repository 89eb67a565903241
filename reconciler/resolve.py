"""A deployment's source → the version that it asks for: pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.freeze import Frozen, Version
from reconciler.git.commits import Commit
from schemas.deployment import Source, SourceKind


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why something has no version now: a stable code, and what is wrong and what to do."""

    code: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Resolution:
    """What a source comes to: either a `version` or a `reason`. `commit` is what was looked at.

    `held` is the version itself when it comes from what a commit holds.
    """

    commit: Commit | None = None
    version: str | None = None
    held: Version | None = None
    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What resolving asks: a source's commit (or why there is none), what a commit holds, numbers."""

    commit: Callable[[Source], Commit | Reason]
    frozen: Callable[[Commit], Frozen]
    numbered: Callable[[str, int], str | None]


def resolve(pattern: str, source: Source, sources: Sources) -> Resolution:
    if source.kind == SourceKind.VERSION:
        return _numbered(pattern, source, sources)
    found = sources.commit(source)
    if isinstance(found, Reason):
        return Resolution(reason=found)
    return held_by(pattern, found, sources.frozen(found))


def held_by(pattern: str, commit: Commit, frozen: Frozen) -> Resolution:
    """The version of `pattern` that a commit holds."""
    version = frozen.versions.get(pattern)
    if version is not None:
        return Resolution(commit=commit, version=version.id, held=version)
    fault = frozen.faults.get(pattern)
    if fault is None:
        message = f"Commit {commit.id[:10]} has no pattern {pattern}. Add it there, or follow what has it."
        return Resolution(commit=commit, reason=Reason(code="pattern-not-found", message=message))
    message = f"The pattern {pattern} of commit {commit.id[:10]} has problems: {fault}"
    return Resolution(commit=commit, reason=Reason(code="pattern-has-problems", message=message))


def closure(version: Version, frozen: Frozen) -> tuple[Version, ...]:
    """A version and every version of the same commit that it calls, callees first."""
    order: dict[str, Version] = {}
    stack = [version]
    while stack:
        top = stack[-1]
        callees = [frozen.versions[name] for name in sorted(top.calls) if "@" not in name]
        open_ = [callee for callee in callees if callee.pattern not in order]
        if open_:
            stack.extend(open_)
        else:
            order[top.pattern] = top
            stack.pop()
    return tuple(order.values())


def _numbered(pattern: str, source: Source, sources: Sources) -> Resolution:
    version = sources.numbered(pattern, int(source.value))
    if version is None:
        message = f"{pattern} has no version {source.value}. `weft versions {pattern}` lists those it has."
        return Resolution(reason=Reason(code="unknown-version", message=message))
    return Resolution(version=version)
