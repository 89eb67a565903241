"""An action → the commit or tag that says it, in a locked repository; no ref moves here."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.actions.decisions import Scene, cloned, decide, deployed, saving
from reconciler.actions.edits import EditError, Target, remove_document, renamed_copy, set_value
from reconciler.actions.files import save
from reconciler.actions.ground import Ground
from reconciler.actions.intents import Change, Create, Edit, Intent, MoveTag, Remove, Restore, Words
from reconciler.actions.requests import (
    Action,
    ActionRefusedError,
    Clone,
    CreateTemplate,
    Deploy,
    OfDocument,
    SaveFile,
    UseTemplate,
    Why,
)
from reconciler.actions.restoration import Restoration
from reconciler.actions.templates import template_created, template_used
from reconciler.actor import Actor
from reconciler.git.commits import Signed
from reconciler.git.errors import PathTakenError, UnknownRevisionError
from reconciler.git.refs import ABSENT, TAGS, RefUpdate
from reconciler.plan import UNDEPLOYED, Live
from reconciler.session import Session
from reconciler.snapshot import Snapshot
from reconciler.steps import VersionRef
from schemas.deployment import DeploymentSpec
from schemas.documents import Document, Kind
from store.deployments import get_deployment, revisions
from store.versions import freeze_of

LOOK_BACK = 500  # revisions searched for the version before the present one


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `actor` wants done to `name`: a deployment, the new pattern of a clone, a file's path.

    `message` may be empty.
    """

    name: str
    action: Action
    actor: Actor
    message: str = ""


def write(request: Request, ground: Ground, host: str) -> RefUpdate:
    """`host` is that of the addresses of Weft's users. Raises ActionRefusedError."""

    def signed(words: Words) -> Signed:
        return request.actor.signed(host, words.message(request.message))

    try:
        if isinstance(request.action, SaveFile):
            return save(request.action, signed(saving(request.action)), ground.session)
        intent = _intent(request, request.action, ground)
        return _written(request.name, intent.change, signed(intent.words), ground)
    except (EditError, PathTakenError) as error:
        raise ActionRefusedError(Why.CONFLICT, f"The file cannot be changed here: {error}.") from error


def _written(name: str, change: Change, signed: Signed, ground: Ground) -> RefUpdate:
    match change:
        case MoveTag():
            return _moved_tag(change, signed, ground.session)
        case Restore():
            return _restored(change, signed, ground)
        case Create():
            return _created(change, signed, ground)
        case _:
            return _edited(name, change, signed, ground)


def _intent(request: Request, action: OfDocument, ground: Ground) -> Intent:
    match action:
        case Deploy():
            ground.check_free(Kind.DEPLOYMENT, request.name)
            ground.document(Kind.PATTERN, action.pattern)
            return deployed(request.name, action)
        case Clone():
            ground.check_free(Kind.PATTERN, request.name)
            text = ground.text(ground.document(Kind.PATTERN, action.pattern))
            copy = renamed_copy(text, Target(Kind.PATTERN, action.pattern), request.name)
            return cloned(request.name, action, copy)
        case UseTemplate():
            return template_used(request.name, action, ground)
        case CreateTemplate():
            return template_created(request.name, action, ground)
        case _:
            return decide(action, _scene(ground.document(Kind.DEPLOYMENT, request.name), ground))


def _scene(document: Document, ground: Ground) -> Scene:
    spec, session = document.typed, ground.session
    assert isinstance(spec, DeploymentSpec)

    def held_by(version: str) -> str | None:
        freeze = freeze_of(session.connection, session.organisation, version)
        return freeze.commit if freeze else None

    def beside(environment: str) -> list[Live]:
        live = (one for one in ground.known.live.values() if one.binding.pattern == spec.pattern)
        return [
            one for one in live if one.binding.environment == environment and one.binding.state != UNDEPLOYED
        ]

    return Scene(
        name=document.name,
        spec=spec,
        live=ground.known.live.get(document.name),
        ledger=ground.known.ledger,
        default_branch=ground.branch,
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


def _created(change: Create, signed: Signed, ground: Ground) -> RefUpdate:
    for path in change.files:
        if ground.content(path) is not None:
            message = f"There is a file {path} already: choose another name."
            raise ActionRefusedError(Why.CONFLICT, message)
    return ground.committed({path: text.encode() for path, text in change.files.items()}, signed)


def _edited(name: str, change: Edit | Remove, signed: Signed, ground: Ground) -> RefUpdate:
    document, target = ground.document(Kind.DEPLOYMENT, name), Target(Kind.DEPLOYMENT, name)
    text = ground.text(document)
    if isinstance(change, Edit):
        after: str | None = text
        for key, value in change.values.items():
            text = after = set_value(text, target, ("spec", key), value, behind="pattern")
    else:
        after = remove_document(text, target)
    return ground.committed({document.path: None if after is None else after.encode()}, signed)


def _restored(change: Restore, signed: Signed, ground: Ground) -> RefUpdate:
    """Refused where that does not give the version: a new one with nearly its content would be no way back."""
    try:
        then = ground.snapshot(change.commit)
    except UnknownRevisionError as error:
        message = f"The commit that held {change.version} is lost here: {error}"
        raise ActionRefusedError(Why.INVALID, message) from error
    restoration = Restoration(now=ground.known.snapshot, then=then, reader=ground.reader)
    if _held(then, change):
        restoration.restore(change.pattern)
    if not restoration.files and _held(ground.known.snapshot, change):
        message = f"{ground.branch} holds {change.version} of {change.pattern} already."
        raise ActionRefusedError(Why.CONFLICT, message)
    update = ground.committed(restoration.files, signed, like=then.tree)
    if not _held(ground.snapshot(update.new), change):
        message = (
            f"The files of commit {change.commit[:10]} do not give {change.version} of {change.pattern} any"
            " more beside what else is there: roll back without `revert`, which pins it."
        )
        raise ActionRefusedError(Why.CONFLICT, message)
    return update


def _held(snapshot: Snapshot, change: Restore) -> bool:
    version = snapshot.frozen.versions.get(change.pattern)
    return version is not None and version.id == change.version.id
