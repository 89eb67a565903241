"""What an action on a deployment comes to: pure.

Each changes one value of one file, or moves the tag that the deployment follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.actions.edits import written
from reconciler.actions.intents import Change, Create, Edit, Intent, MoveTag, Remove, Restore, Words
from reconciler.actions.requests import (
    ActionRefusedError,
    Clone,
    Deploy,
    OfDeployment,
    Promote,
    RollBack,
    SaveFile,
    SetState,
    Undeploy,
    Why,
)
from reconciler.git.refs import TAGS
from reconciler.numbers import Ledger
from reconciler.plan import Live
from reconciler.steps import VersionRef
from schemas.deployment import DeploymentSpec, Source, SourceKind, State
from schemas.pattern import JSON


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A deployment as the default branch has it, and what an action may ask.

    `held_by`: version id → a commit that holds it. `before`: the version that was live before the present one.
    `beside`: environment → this pattern's deployments there.
    """

    name: str
    spec: DeploymentSpec
    live: Live | None
    ledger: Ledger
    default_branch: str
    held_by: Callable[[str], str | None]
    before: Callable[[], VersionRef | None]
    beside: Callable[[str], list[Live]]

    @property
    def default_source(self) -> Source:
        return Source(kind=SourceKind.BRANCH, value=self.default_branch)

    @property
    def source(self) -> Source:
        return self.spec.source or self.default_source


def decide(action: OfDeployment, scene: Scene) -> Intent:
    """Raises ActionRefusedError."""
    match action:
        case SetState():
            return _set_state(action.state, scene)
        case Undeploy():
            return _intent(scene, Remove(), "undeploy", f"Undeploy {scene.name}")
        case RollBack(revert=True):
            return _restore(_target(action, scene), scene)
        case RollBack():
            return _to_version(scene, _target(action, scene), "rollback", f"Roll {scene.name} back to")
        case Promote():
            return _promote(action, scene)


def deployed(name: str, action: Deploy) -> Intent:
    """The file that makes the pattern live under this name."""
    spec = {"pattern": action.pattern, **action.settings}
    lines = ["apiVersion: weft/v1", "kind: Deployment", "metadata:", f"  name: {written(name)}", "spec:"]
    lines += [f"  {key}: {written(value)}" for key, value in spec.items()]
    change = Create(files={f"deployments/{name}.yaml": "\n".join(lines) + "\n"})
    subject = f"Deploy {action.pattern} as {name}"
    return Intent(change=change, words=Words(verb="deploy", subject=subject, about={"Deployment": name}))


def cloned(name: str, action: Clone, text: str) -> Intent:
    """The file of a copy whose text is made already."""
    change = Create(files={f"patterns/{name}.yaml": text})
    subject = f"Clone {action.pattern} as {name}"
    return Intent(change=change, words=Words(verb="clone", subject=subject, about={"Pattern": name}))


def saving(action: SaveFile) -> Words:
    """What the commit of a saved file says."""
    verb = "Remove" if action.content is None else "Add" if action.base is None else "Change"
    return Words(verb="edit", subject=f"{verb} {action.path}", about={"File": action.path})


_STATES = {
    State.ACTIVE: ("resume", "Resume"),
    State.PAUSED: ("pause", "Pause"),
    State.ARCHIVED: ("archive", "Archive"),
}


def _set_state(state: State, scene: Scene) -> Intent:
    if scene.spec.state == state:
        raise ActionRefusedError(Why.CONFLICT, f"{scene.name} is {state} already.")
    verb, word = _STATES[state]
    values: dict[str, JSON] = {"state": str(state)}
    if state == State.ARCHIVED:
        values |= _kept(scene)
    return _intent(scene, Edit(values=values), verb, f"{word} {scene.name}")


def _kept(scene: Scene) -> Mapping[str, JSON]:
    """The source that an archived deployment needs, so that Git alone says for ever what it was.

    A tag or another branch may move later; what the default branch held in this commit stays.
    """
    version = scene.live.binding.version if scene.live else None
    if version is None or scene.source in (scene.default_source, _numbered_source(version)):
        return {}
    return {
        "source": {"version": version.number} if version.number else {"commit": scene.held_by(version.id)}
    }


def _numbered_source(version: VersionRef) -> Source:
    return Source(kind=SourceKind.VERSION, value=str(version.number))


def _intent(
    scene: Scene, change: Change, verb: str, subject: str, version: VersionRef | None = None
) -> Intent:
    about = {"Deployment": scene.name}
    words = Words(verb=verb, subject=subject, about=about, version=version)
    return Intent(change=change, words=words)


def _promote(action: Promote, scene: Scene) -> Intent:
    if action.version is not None:
        return _to_version(scene, _numbered(scene, action.version), "promote", f"Promote {scene.name} to")
    if action.environment is not None:
        version = _beside(scene, action.environment)
        return _to_version(scene, version, "promote", f"Promote {scene.name} from {action.environment} to")
    if action.tag is not None:
        return _follow(scene, Source(kind=SourceKind.TAG, value=action.tag))
    assert action.branch is not None, "one of them is given"
    return _follow(scene, Source(kind=SourceKind.BRANCH, value=action.branch))


def _follow(scene: Scene, source: Source) -> Intent:
    if scene.source == source:
        raise ActionRefusedError(Why.CONFLICT, f"{scene.name} follows the {source} already.")
    change = Edit(values={"source": {str(source.kind): source.value}})
    return _intent(scene, change, "promote", f"Let {scene.name} follow the {source}")


def _to_version(scene: Scene, version: VersionRef, verb: str, subject: str) -> Intent:
    """Where a tag is followed, the tag moves; else the number is written down, and stays until it is changed."""
    source = scene.spec.source
    commit = scene.held_by(version.id)
    if source is not None and source.kind == SourceKind.TAG and commit is not None:
        change: Edit | MoveTag = MoveTag(ref=TAGS + source.value, commit=commit)
        pinned = scene.live is not None and scene.live.binding.version == version
    elif version.number is not None:
        change = Edit(values={"source": {"version": version.number}})
        pinned = source == _numbered_source(version)
    elif commit is not None:
        change = Edit(values={"source": {"commit": commit}})
        pinned = source == Source(kind=SourceKind.COMMIT, value=commit)
    else:
        raise _unheld(version, scene)
    if pinned:
        raise ActionRefusedError(Why.CONFLICT, f"{scene.name} is set to {version} already.")
    return _intent(scene, change, verb, f"{subject} {version}", version)


def _restore(version: VersionRef, scene: Scene) -> Intent:
    """What the default branch holds is live only where that is followed."""
    if scene.source != scene.default_source:
        message = (
            f"{scene.name} follows the {scene.source}, not the {scene.default_source}, so that restoring"
            " files would change nothing of it: roll back without `revert`."
        )
        raise ActionRefusedError(Why.CONFLICT, message)
    commit = scene.held_by(version.id)
    if commit is None:
        raise _unheld(version, scene)
    change = Restore(pattern=scene.spec.pattern, version=version, commit=commit)
    return _intent(scene, change, "rollback", f"Restore {scene.spec.pattern} as of {version}", version)


def _unheld(version: VersionRef, scene: Scene) -> ActionRefusedError:
    message = f"No commit is known that holds {version} of {scene.spec.pattern}."
    return ActionRefusedError(Why.INVALID, message)


def _target(action: RollBack, scene: Scene) -> VersionRef:
    if action.to is not None:
        return _numbered(scene, action.to)
    version = scene.before()
    if version is None:
        pattern = scene.spec.pattern
        message = (
            f"Nothing was live of {scene.name} before what is live now: there is nothing to go back to."
            f" Name one of the versions of {pattern} instead."
        )
        raise ActionRefusedError(Why.CONFLICT, message)
    return version


def _numbered(scene: Scene, number: int) -> VersionRef:
    pattern = scene.spec.pattern
    found = scene.ledger.id(pattern, number)
    if found is None:
        known = scene.ledger.newest(pattern)
        message = f"{pattern} has no version {number}: it has {f'1 to {known}' if known else 'none'}."
        raise ActionRefusedError(Why.UNKNOWN, message)
    return VersionRef(id=found, number=number)


def _beside(scene: Scene, environment: str) -> VersionRef:
    """What the same pattern has in another environment, where that is one thing."""
    there = {live.binding.version for live in scene.beside(environment) if live.binding.version is not None}
    if len(there) != 1:
        found = "no deployment" if not there else "several deployments with different versions"
        message = f"{scene.spec.pattern} has {found} in {environment}: promote a `version` instead."
        raise ActionRefusedError(Why.UNKNOWN if not there else Why.CONFLICT, message)
    return there.pop()
