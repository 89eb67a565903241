"""What must hold between the documents of a repository. Pure: where assets stand is asked through a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum

from schemas.deployment import DeploymentSpec, SourceKind, State
from schemas.documents import Document, Identity, Kind, ParsedFile
from schemas.pattern import Pattern
from schemas.problems import Problem
from schemas.references import Reference
from schemas.tested import problems_of_test

DEFAULT_BRANCH = "main"
"""The branch that deployments are defined on, and follow unless they say otherwise."""


class AssetState(StrEnum):
    PRESENT = "present"  # a file
    ABSENT = "absent"  # nothing there
    SYMLINK = "symlink"  # a symbolic link, or behind one
    DIRECTORY = "directory"  # a folder, or a submodule


def check(files: Mapping[str, ParsedFile], asset: Callable[[str], AssetState]) -> tuple[Problem, ...]:
    """The problems between documents, sorted by place. Those within one document are in its ParsedFile.

    `files` are all files that hold documents, by their path; `asset` says what stands at a path.
    """
    repository = _gathered(files)
    found = [
        *_duplicates(files),
        *_calls(repository),
        *_circles(repository),
        *_deployments(repository),
        *_assets(repository, asset),
        *_connections(repository),
        *_tests(repository),
    ]
    return tuple(sorted(found))


@dataclass(frozen=True, kw_only=True)
class _Repository:
    """The documents, the first of each identity."""

    patterns: dict[str, Document] = field(default_factory=dict)
    deployments: dict[str, Document] = field(default_factory=dict)
    tests: dict[str, Document] = field(default_factory=dict)
    broken: dict[str, tuple[str, Identity]] = field(default_factory=dict)  # patterns: file and place, by name
    connections: dict[str, Document] = field(default_factory=dict)
    broken_connections: set[str] = field(default_factory=set)


def _gathered(files: Mapping[str, ParsedFile]) -> _Repository:
    repository = _Repository()
    for path in sorted(files):
        for document in files[path].documents:
            if document.kind is Kind.PATTERN:
                repository.patterns.setdefault(document.name, document)
            elif document.kind is Kind.DEPLOYMENT:
                repository.deployments.setdefault(document.name, document)
            elif document.kind is Kind.CONNECTION:
                repository.connections.setdefault(document.name, document)
            elif document.kind is Kind.PATTERN_TEST:
                repository.tests.setdefault(document.name, document)
        for identity in files[path].broken:
            if identity.kind is Kind.PATTERN:
                repository.broken.setdefault(identity.name, (path, identity))
            elif identity.kind is Kind.CONNECTION:
                repository.broken_connections.add(identity.name)
    return repository


def _duplicates(files: Mapping[str, ParsedFile]) -> Iterator[Problem]:
    places: dict[tuple[Kind, str], str] = {}
    for path in sorted(files):
        parsed = files[path]
        holders: list[Document | Identity] = [*parsed.documents, *parsed.broken]
        for one in sorted(holders, key=lambda holder: (holder.line, holder.column)):
            # A repository has one Project, whatever its name.
            identity = (one.kind, "" if one.kind is Kind.PROJECT else one.name)
            first = places.setdefault(identity, f"{path}:{one.line}")
            if first != f"{path}:{one.line}":
                message = f"the {one.kind} {one.name!r} stands here and at {first}"
                hint = "Rename one of them, or remove it."
                yield _problem(path, one, "duplicate-document", message, hint)


def _calls(repository: _Repository) -> Iterator[Problem]:
    for caller in repository.patterns.values():
        for reference in _called_now(caller):
            known = repository.patterns.get(reference.name)
            if known is None:
                yield _unknown_pattern(repository, caller.path, reference)
            elif not (isinstance(known.typed, Pattern) and known.typed.callable):
                message = f"the pattern {reference.name!r} may not be called by others"
                hint = f"Add `call: {{}}` to `on` in {known.path}."
                yield _problem(caller.path, reference, "pattern-not-callable", message, hint)


def _called_now(caller: Document) -> Iterator[Reference]:
    """The calls of what the same commit holds; frozen versions are looked up by whoever resolves versions."""
    for reference in caller.references:
        if reference.kind == "pattern" and reference.version is None:
            yield reference


def _unknown_pattern(repository: _Repository, path: str, reference: Reference) -> Problem:
    name = reference.name
    if name in repository.broken:
        where, identity = repository.broken[name]
        message = f"the pattern {name!r} has problems of its own ({where}:{identity.line})"
        return _problem(path, reference, "broken-pattern", message, "Mend that pattern first.")
    near = get_close_matches(name, repository.patterns, n=1)
    hint = f'Did you mean "{near[0]}"?' if near else "Add a document of kind Pattern with that name."
    return _problem(path, reference, "unknown-pattern", f"there is no pattern {name!r}", hint)


def _circles(repository: _Repository) -> Iterator[Problem]:
    """Each call that closes a circle, found by a walk in depth without recursion: chains may be long."""
    settled: set[str] = set()
    for start in sorted(repository.patterns):
        trail: list[str] = []
        todo: list[tuple[str, Iterator[Reference]]] = []
        _enter(repository, start, trail, todo)
        while todo:
            name, calls = todo[-1]
            reference = next(calls, None)
            if reference is None:
                settled.add(name)
                trail.pop()
                todo.pop()
            elif reference.name in trail:
                yield _circle(repository.patterns[name].path, reference, trail)
            elif reference.name in repository.patterns and reference.name not in settled:
                _enter(repository, reference.name, trail, todo)


def _enter(
    repository: _Repository, name: str, trail: list[str], todo: list[tuple[str, Iterator[Reference]]]
) -> None:
    trail.append(name)
    todo.append((name, _called_now(repository.patterns[name])))


def _circle(path: str, reference: Reference, trail: list[str]) -> Problem:
    circle = [*trail[trail.index(reference.name) :], reference.name]
    message = f"patterns call each other in a circle: {' → '.join(circle)}"
    if len(circle) == 2:
        message = f"the pattern {reference.name!r} calls itself"
    hint = "Take one of the calls out, or pin it to a frozen version (`version: 3`)."
    return _problem(path, reference, "call-circle", message, hint)


def _deployments(repository: _Repository) -> Iterator[Problem]:
    """A deployment that follows anything but the default branch is resolved elsewhere.

    An archived one keeps its version for ever, and so needs its pattern no more.
    """
    for document in repository.deployments.values():
        spec = document.typed
        if not isinstance(spec, DeploymentSpec) or not _follows_default(spec) or spec.state is State.ARCHIVED:
            continue
        for reference in document.references:
            if reference.name not in repository.patterns:
                yield _unknown_pattern(repository, document.path, reference)


def _tests(repository: _Repository) -> Iterator[Problem]:
    for test in repository.tests.values():
        if test.spec["pattern"] in repository.patterns:
            yield from problems_of_test(test, repository.patterns)
        elif test.spec["pattern"] not in repository.broken:  # else its own problems are told already
            yield _unknown_pattern(repository, test.path, test.references[0])


def _follows_default(spec: DeploymentSpec) -> bool:
    source = spec.source
    return source is None or (source.kind is SourceKind.BRANCH and source.value == DEFAULT_BRANCH)


_ASSET_PROBLEMS = {
    AssetState.ABSENT: (
        "missing-asset",
        "there is no file {!r}",
        "Add it, or mend the path: it begins at the root.",
    ),
    AssetState.SYMLINK: (
        "asset-symlink",
        "{!r} is a symbolic link",
        "Name the file itself, and keep it in the repository.",
    ),
    AssetState.DIRECTORY: ("asset-directory", "{!r} is a folder", "Name a file in it."),
}


def _assets(repository: _Repository, asset: Callable[[str], AssetState]) -> Iterator[Problem]:
    states: dict[str, AssetState] = {}
    for document in repository.patterns.values():
        for reference in document.references:
            if reference.kind != "asset":
                continue
            state = states.get(reference.name)
            if state is None:
                state = states[reference.name] = asset(reference.name)
            if state is not AssetState.PRESENT:
                code, message, hint = _ASSET_PROBLEMS[state]
                yield _problem(document.path, reference, code, message.format(reference.name), hint)


def _connections(repository: _Repository) -> Iterator[Problem]:
    """Of one that has problems of its own nothing more is said."""
    for document in repository.patterns.values():
        for reference in document.references:
            if reference.kind != "connection" or reference.name in repository.broken_connections:
                continue
            known = repository.connections.get(reference.name)
            if known is None:
                yield _unknown_connection(repository, document.path, reference)
            elif known.spec["type"] not in reference.types:
                message = f"the connection {reference.name!r} is of type {known.spec['type']}"
                hint = f"This kind of node takes {' or '.join(reference.types)}."
                yield _problem(document.path, reference, "wrong-connection-type", message, hint)


def _unknown_connection(repository: _Repository, path: str, reference: Reference) -> Problem:
    fitting = [name for name, one in repository.connections.items() if one.spec["type"] in reference.types]
    near = get_close_matches(reference.name, fitting, n=1)
    hint = (
        f'Did you mean "{near[0]}"?' if near else f"Add connections/{reference.name}.yaml of kind Connection."
    )
    message = f"there is no connection {reference.name!r}"
    return _problem(path, reference, "unknown-connection", message, hint)


def _problem(path: str, at: Document | Identity | Reference, code: str, message: str, hint: str) -> Problem:
    return Problem(path=path, line=at.line, column=at.column, code=code, message=message, hint=hint)
