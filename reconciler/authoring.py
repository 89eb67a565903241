"""An action → the commit or tag that says it, in a locked repository; no ref moves here."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.actions import (
    Action,
    ActionRefusedError,
    Edit,
    Intent,
    MoveTag,
    Scene,
    Why,
    decide,
)
from reconciler.edits import EditError, Target, remove_document, set_value
from reconciler.landing import Known
from reconciler.plan import ARCHIVED, UNDEPLOYED, Live
from reconciler.repository import ABSENT, BRANCHES, TAGS, RefUpdate, Signed
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


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `author` wants done to the deployment `name`. `message` is for the commit's text; it may be empty."""

    name: str
    action: Action
    author: Author
    message: str = ""


def write(request: Request, session: Session, known: Known) -> RefUpdate:
    """Raises ActionRefusedError."""
    document = _document(request.name, session, known)
    intent = decide(request.action, _scene(document, session, known))
    signed = Signed(
        name=request.author.name,
        email=request.author.email,
        message=intent.message(request.name, request.message),
    )
    if isinstance(intent.change, MoveTag):
        return _moved_tag(intent.change, signed, session)
    return _committed(document, intent, signed, session)


def _document(name: str, session: Session, known: Known) -> Document:
    live = known.live.get(name)
    if live is not None and live.binding.state == ARCHIVED:
        by = f"{name} was archived by commit {live.commit[:10]}, for good"
        raise ActionRefusedError(Why.CONFLICT, f"{by}: deploy its pattern under another name.")
    places = known.snapshot.places.get((Kind.DEPLOYMENT, name), ())
    branch = session.default_ref.removeprefix(BRANCHES)
    if not places or known.head is None:
        raise ActionRefusedError(Why.UNKNOWN, f"{branch} has no deployment {name}.")
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


def _committed(document: Document, intent: Intent, signed: Signed, session: Session) -> RefUpdate:
    head = session.refs[session.default_ref]
    tree = session.repository.commit(head).tree
    entry = session.repository.find_entry(tree, document.path)
    assert entry is not None, "the snapshot is of this commit"
    before = session.repository.blob(entry[1]).decode()
    try:
        after = _edited(before, document, intent)
    except EditError as error:
        raise ActionRefusedError(Why.CONFLICT, f"{document.path} cannot be changed here: {error}.") from error
    changed = session.repository.with_file(tree, document.path, None if after is None else after.encode())
    commit = session.repository.write_commit(changed, head, signed)
    return RefUpdate(ref=session.default_ref, old=head, new=commit)


def _edited(text: str, document: Document, intent: Intent) -> str | None:
    target = Target(Kind.DEPLOYMENT, document.name)
    if isinstance(intent.change, Edit):
        change = intent.change
        return set_value(text, target, ("spec", change.key), change.value, behind="pattern")
    return remove_document(text, target)
