"""An action → the commit or tag that says it, in a locked repository; no ref moves here."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.actions import (
    Action,
    ActionRefusedError,
    Clone,
    Create,
    Deploy,
    Edit,
    Intent,
    MoveTag,
    Scene,
    Why,
    cloned,
    decide,
    deployed,
)
from reconciler.edits import EditError, Target, remove_document, renamed_copy, set_value
from reconciler.landing import Known
from reconciler.plan import ARCHIVED, UNDEPLOYED, Live
from reconciler.refs import ABSENT, BRANCHES, TAGS, RefUpdate
from reconciler.repository import Signed
from reconciler.session import Session
from reconciler.steps import VersionRef
from schemas.deployment import DeploymentSpec
from schemas.documents import Document, Kind
from store.deployments import get_deployment, revisions
from store.versions import freeze_of

LOOK_BACK = 500  # revisions searched for the version before the present one


@dataclass(frozen=True, kw_only=True)
class Author:
    """The user in whose name a commit is made."""

    name: str
    email: str
    admin: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `author` wants done to `name`: a deployment, or the new pattern of a clone. `message` may be empty."""

    name: str
    action: Action
    author: Author
    message: str = ""


def write(request: Request, session: Session, known: Known) -> RefUpdate:
    """Raises ActionRefusedError."""
    try:
        intent, path = _intent(request, session, known)
        signed = Signed(
            name=request.author.name,
            email=request.author.email,
            message=intent.message(request.name, request.message),
        )
        if isinstance(intent.change, MoveTag):
            return _moved_tag(intent.change, signed, session)
        return _committed(Target(Kind.DEPLOYMENT, request.name), path, intent, signed, session)
    except EditError as error:
        raise ActionRefusedError(Why.CONFLICT, f"The file cannot be changed here: {error}.") from error


def _intent(request: Request, session: Session, known: Known) -> tuple[Intent, str]:
    """What to do, and in which file."""
    match request.action:
        case Deploy() as action:
            _check_free(Kind.DEPLOYMENT, request.name, known)
            _document(Kind.PATTERN, action.pattern, session, known)
            intent = deployed(request.name, action)
        case Clone() as action:
            _check_free(Kind.PATTERN, request.name, known)
            source = _document(Kind.PATTERN, action.pattern, session, known)
            text = renamed_copy(
                _text(source.path, session), Target(Kind.PATTERN, action.pattern), request.name
            )
            intent = cloned(request.name, action, text)
        case action:
            document = _document(Kind.DEPLOYMENT, request.name, session, known)
            return decide(action, _scene(document, session, known)), document.path
    assert isinstance(intent.change, Create)
    return intent, intent.change.path


def _check_free(kind: Kind, name: str, known: Known) -> None:
    places = known.snapshot.places.get((kind, name))
    if places:
        what = f"There is a {kind} {name} already, at {places[0].path}:{places[0].line}"
        raise ActionRefusedError(Why.CONFLICT, f"{what}: choose another name.")


def _document(kind: Kind, name: str, session: Session, known: Known) -> Document:
    live = known.live.get(name) if kind is Kind.DEPLOYMENT else None
    if live is not None and live.binding.state == ARCHIVED:
        by = f"{name} was archived by commit {live.commit[:10]}, for good"
        raise ActionRefusedError(Why.CONFLICT, f"{by}: deploy its pattern under another name.")
    places = known.snapshot.places.get((kind, name))
    branch = session.default_ref.removeprefix(BRANCHES)
    if not places or known.head is None:
        raise ActionRefusedError(Why.UNKNOWN, f"{branch} has no {str(kind).lower()} {name}.")
    problem = known.snapshot.fault(places)
    if problem is not None or places[0].document is None:
        raise ActionRefusedError(Why.CONFLICT, f"The file of {name} in {branch} has problems: {problem}")
    return places[0].document


def _scene(document: Document, session: Session, known: Known) -> Scene:
    spec = document.typed
    assert isinstance(spec, DeploymentSpec)

    def held_by(version: str) -> str | None:
        freeze = freeze_of(session.connection, session.organisation, version)
        return freeze.commit if freeze else None

    def beside(environment: str) -> list[Live]:
        live = (one for one in known.live.values() if one.binding.pattern == spec.pattern)
        return [
            one for one in live if one.binding.environment == environment and one.binding.state != UNDEPLOYED
        ]

    return Scene(
        name=document.name,
        spec=spec,
        live=known.live.get(document.name),
        ledger=known.ledger,
        default_branch=session.default_ref.removeprefix(BRANCHES),
        held_by=held_by,
        before=lambda: _before(document.name, spec.pattern, session),
        beside=beside,
    )


def _before(name: str, pattern: str, session: Session) -> VersionRef | None:
    """The last version of the same pattern that was live and is not now."""
    deployment = get_deployment(session.connection, session.organisation, name)
    if deployment is None or deployment.version is None:
        return None
    for revision in revisions(session.connection, deployment.id, limit=LOOK_BACK):
        version = revision.version_id
        if version not in (None, deployment.version.version_id) and revision.spec["pattern"] == pattern:
            return VersionRef(id=version, number=revision.number)
    return None


def _moved_tag(change: MoveTag, signed: Signed, session: Session) -> RefUpdate:
    tag = session.repository.write_tag(change.ref.removeprefix(TAGS), change.commit, signed)
    return RefUpdate(ref=change.ref, old=session.refs.get(change.ref, ABSENT), new=tag)


def _text(path: str, session: Session) -> str:
    """What the default branch's head holds there; nothing where there is no file."""
    repository = session.repository
    entry = repository.find_entry(repository.commit(session.refs[session.default_ref]).tree, path)
    return repository.blob(entry[1]).decode() if entry else ""


def _committed(target: Target, path: str, intent: Intent, signed: Signed, session: Session) -> RefUpdate:
    before, head = _text(path, session), session.refs[session.default_ref]
    after = _edited(before, path, target, intent)
    tree = session.repository.commit(head).tree
    changed = session.repository.with_file(tree, path, None if after is None else after.encode())
    commit = session.repository.write_commit(changed, head, signed)
    return RefUpdate(ref=session.default_ref, old=head, new=commit)


def _edited(text: str, path: str, target: Target, intent: Intent) -> str | None:
    match intent.change:
        case Edit() as change:
            return set_value(text, target, ("spec", change.key), change.value, behind="pattern")
        case Create() as change:
            if text:
                raise ActionRefusedError(
                    Why.CONFLICT, f"There is a file {path} already: choose another name."
                )
            return change.text
        case _:
            return remove_document(text, target)
