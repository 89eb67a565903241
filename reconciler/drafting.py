"""A draft made ready for test mode: what a branch holds, with other files in place, frozen and not deployed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from reconciler.actor import Actor
from reconciler.affected import still_sound
from reconciler.apply import store_versions
from reconciler.freeze import Version
from reconciler.git.commits import Commit
from reconciler.git.errors import PathTakenError
from reconciler.git.refs import BRANCHES, RefUpdate
from reconciler.git.trees import changes
from reconciler.landing import Known, view_of
from reconciler.places import keys_of
from reconciler.protection import project_of, refused_moves
from reconciler.reader import Reader, Recent
from reconciler.resolve import closure
from reconciler.session import Session
from reconciler.snapshot import Snapshot, advance, problems
from schemas.documents import Document, Kind, is_document_path, parse_file
from schemas.problems import Problem
from schemas.secret_names import secrets_of_pattern


@dataclass(frozen=True, kw_only=True)
class DraftRequest:
    """A pattern as `ref` (None: the default branch) holds it, with `files` in place of those there (None: gone).

    `document` is the content of the file that holds the pattern. `environment` is where it wants to run.
    """

    pattern: str
    environment: str
    actor: Actor
    ref: str | None = None
    document: bytes | None = None
    files: Mapping[str, bytes | None] = field(default_factory=dict)

    @property
    def changes_nothing(self) -> bool:
        return self.ref is None and self.document is None and not self.files


@dataclass(frozen=True, kw_only=True)
class Drafted:
    """A stored version of it. `patterns`: itself and all that it calls as the draft holds them, by name.

    `commit` is what it was made from; None: nothing was ever pushed.
    """

    version: Version
    commit: str | None
    patterns: Mapping[str, Document]


class DraftProblemsError(Exception):
    """Files that the draft needs have problems. Nothing was stored."""

    def __init__(self, pattern: str, found: tuple[Problem, ...]) -> None:
        super().__init__(f"{pattern} cannot be tried: its files have problems.")
        self.problems = found


class NoDraftError(Exception):
    """There is no such pattern there, or a file cannot stand where it should."""


class EnvironmentProtectedError(Exception):
    """What runs in this environment, the default branch says; whoever asks may not push there."""


def draft(session: Session, known: Known, request: DraftRequest) -> Drafted:
    """Raises UnknownRevisionError, TooManyDocumentsError, DraftProblemsError, NoDraftError,
    EnvironmentProtectedError.
    """
    _check_environment(session, known, request)
    base = _base(session, request.ref)
    with session.repository.scratch() as scratch:
        view = view_of(known, scratch, session.refs, session.default_ref)
        # Of trees that nothing refers to nothing is to be remembered.
        view = replace(view, others=Recent(16))
        before = known.snapshot if base is None else view.at(base)
        files = _files(request, before)
        here = base.tree if base else scratch.empty_tree()
        # What is to go has to be there.
        files = {
            path: new for path, new in files.items() if new is not None or scratch.find_entry(here, path)
        }
        try:
            tree = scratch.with_files(here, files)
        except PathTakenError as error:
            raise NoDraftError(f"The files cannot stand beside those of the branch: {error}.") from error
        snapshot = advance(before, tree, view.reader, view.ledger)
        if not _is_sound(known, snapshot, view.reader):
            _check(snapshot, view.reader, request, [path for path in files if is_document_path(path)])
        if request.pattern not in snapshot.frozen.versions:
            raise _no_pattern(request)
        version = snapshot.frozen.versions[request.pattern]
        needed = closure(version, snapshot.frozen)
        patterns = _documents(snapshot, (one.pattern for one in needed))
        _check_secrets(session, known, request, patterns)
        store_versions(session.connection, [(one, tree) for one in needed], view.reader)
    return Drafted(version=version, commit=base.id if base else None, patterns=patterns)


def _base(session: Session, ref: str | None) -> Commit | None:
    """Raises UnknownRevisionError. None where nothing was ever pushed."""
    if ref is not None:
        return session.repository.find(ref)
    head = session.refs.get(session.default_ref)
    return None if head is None else session.repository.commit(head)


def _files(request: DraftRequest, before: Snapshot) -> dict[str, bytes | None]:
    """What differs from the branch. A file there that holds a document which is given elsewhere is taken away."""
    given: dict[str, bytes | None] = dict(request.files)
    if request.document is not None:
        given[_path_of(request.pattern, before)] = request.document
    parsed = (
        parse_file(path, new) for path, new in given.items() if new is not None and is_document_path(path)
    )
    keys = {key for file in parsed for key in keys_of(file)}
    moved = {place.path for key in keys for place in before.places.get(key)} - given.keys()
    return {**dict.fromkeys(moved), **given}


def _path_of(pattern: str, before: Snapshot) -> str:
    places = before.places.get((Kind.PATTERN, pattern))
    return places[0].path if places else f"patterns/{pattern}.yaml"


def _check(snapshot: Snapshot, reader: Reader, request: DraftRequest, given: Iterable[str]) -> None:
    """What is wrong with the pattern, what it calls, and the documents that were given; nothing else matters."""
    name = request.pattern
    needed = list(_with_callees(snapshot, name))
    paths = {*given, *(snapshot.drafts[one].path for one in needed)}
    found = tuple(problem for problem in problems(snapshot, reader) if problem.path in paths)
    faults = snapshot.frozen.faults
    found = found or tuple(sorted(faults[one] for one in needed if one in faults))
    if found:
        raise DraftProblemsError(name, found)


def _is_sound(known: Known, snapshot: Snapshot, reader: Reader) -> bool:
    """Whether that is seen from what differs from the default branch alone, however much there is."""
    if not known.clean:
        return False
    differing = list(changes(reader.entries, known.snapshot.tree, snapshot.tree))
    return still_sound(known.snapshot, snapshot, differing, reader)


def _no_pattern(request: DraftRequest) -> NoDraftError:
    where = f"{request.ref} has" if request.ref else "There is"
    return NoDraftError(f"{where} no pattern {request.pattern}: push it, or send it as `document`.")


def _with_callees(snapshot: Snapshot, name: str) -> Iterator[str]:
    """Itself and what it calls as the draft holds it, where that is there."""
    seen, open_ = {name}, [name]
    while open_:
        at = open_.pop()
        if at in snapshot.drafts:
            yield at
            new = {call.name for call in snapshot.drafts[at].calls if call.version is None} - seen
            seen |= new
            open_.extend(new)


def _documents(snapshot: Snapshot, names: Iterable[str]) -> dict[str, Document]:
    found = {name: snapshot.places.get((Kind.PATTERN, name))[0].document for name in names}
    return {name: document for name, document in found.items() if document is not None}


def _check_environment(session: Session, known: Known, request: DraftRequest) -> None:
    """Where something is live, connections lead to real things: only what could be live there may run there."""
    live = (one.binding for one in known.live.values() if one.is_serving)
    if request.changes_nothing or all(one.environment != request.environment for one in live):
        return
    branch = _closed_branch(session, known, request)
    if branch is not None:
        raise EnvironmentProtectedError(
            f"{branch} says what runs in {request.environment}, and {request.actor.user} may not push there:"
            " test it in another environment."
        )


def _check_secrets(
    session: Session, known: Known, request: DraftRequest, patterns: Mapping[str, Document]
) -> None:
    """A secret may be set for all environments: whoever could read it by a draft could read it by a push."""
    if request.changes_nothing:
        return
    naming = [name for name, one in patterns.items() if secrets_of_pattern(one.spec)]
    branch = _closed_branch(session, known, request) if naming else None
    if branch is not None:
        raise EnvironmentProtectedError(
            f"{naming[0]} names secrets, and {request.actor.user} may not push to {branch}, which says who gets"
            " them: propose it as a change, or take the secrets out of what you try."
        )


def _closed_branch(session: Session, known: Known, request: DraftRequest) -> str | None:
    """The default branch, where whoever asks may not push to it."""
    ref = session.default_ref
    head = session.refs.get(ref, "")
    move = RefUpdate(ref=ref, old=head, new=head)
    refused = refused_moves([move], request.actor, project_of(known.snapshot), ref).reasons
    return ref.removeprefix(BRANCHES) if refused else None
