"""A landing → the database: one transaction writes exactly what the plan says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from reconciler.connections import kept_connections, wanted_connections
from reconciler.freeze import Version
from reconciler.history import FirstHeld
from reconciler.landing import Known, Landing
from reconciler.plan import Live
from reconciler.reader import Reader
from reconciler.resolve import Reason
from reconciler.steps import Binding, Step, VersionRef, problem_json
from reconciler.tokens import hook_token
from schemas.documents import Kind
from schemas.pattern import JSON
from schemas.problems import Problem
from store.connections import connection_names, write_connections
from store.database import Connection
from store.deployment_rows import DeploymentRow, RevisionRow, notify_deployments, write_deployments
from store.deployments import Condition, Deployment
from store.repositories import RepositoryState, record_repository
from store.versions import Freeze, VersionContent, add_assets, add_freezes, add_versions, missing_assets

CHUNK = 500  # versions per statement: a rebuild brings thousands


@dataclass(frozen=True, kw_only=True)
class Applying:
    """Who applies what: `problems` are those of the default branch's head, `digest` stands for all refs."""

    organisation: str
    installation_key: bytes
    actor: str | None
    digest: str
    problems: tuple[Problem, ...]


def apply(connection: Connection, landing: Landing, applying: Applying) -> int:
    """Write it, inside the caller's transaction. Gives the repository's new generation."""
    _write_versions(connection, landing, applying.organisation)
    rows = [_row(step, applying) for step in landing.plan.looked_at if step.writes]
    write_deployments(connection, applying.organisation, rows)
    _write_connections(connection, landing, applying.organisation)
    notify_deployments(connection, applying.organisation, [row.name for row in rows])
    state = RepositoryState(
        organisation=applying.organisation,
        default_branch=landing.view.default_ref.removeprefix("refs/heads/"),
        tried_commit=landing.plan.head,
        problems=[problem_json(problem) for problem in applying.problems],
        project=_project(landing),
        refs_digest=applying.digest,
    )
    return record_repository(connection, state, applied=not applying.problems)


def remembered(known: Known, landing: Landing, generation: int, *, clean: bool) -> Known:
    """What the process knows after a landing was written."""
    live = dict(known.live)
    for step in landing.plan.looked_at:
        before = known.live.get(step.name)
        if step.writes and step.after is not None:
            live[step.name] = _live_after(step, before)
        elif before is not None and step.after is not None and step.after is not before.binding:
            # Looked at and found the same: not worth a row, and not worth a second look.
            live[step.name] = replace(before, binding=step.after, tried=step.tried)
    return Known(
        generation=generation,
        head=landing.plan.head,
        snapshot=landing.view.snapshot,
        ledger=landing.view.ledger,
        live=live,
        settled=landing.desired.settled - landing.desired.moving,
        clean=clean,
        memory=known.memory,
        others=known.others,
    )


def live_of(deployment: Deployment) -> Live:
    """A stored deployment as plans see it."""
    version = deployment.version
    stalls = (c for c in deployment.conditions if c.type == "Stalled" and c.status)
    stall = next((Reason(code=c.reason, message=c.message) for c in stalls), None)
    return Live(
        name=deployment.name,
        binding=Binding(
            pattern=deployment.pattern,
            environment=deployment.environment,
            state=deployment.state,
            version=VersionRef(id=version.version_id, number=version.number) if version else None,
            spec=deployment.spec,
            metadata=deployment.metadata,
        ),
        commit=deployment.commit,
        stall=stall,
        tried=deployment.tried_commit,
    )


def _live_after(step: Step, before: Live | None) -> Live:
    assert step.after is not None
    commit = step.commit.id if step.revises and step.commit else before.commit if before else ""
    return Live(name=step.name, binding=step.after, commit=commit, stall=step.reason, tried=step.tried)


def _write_connections(connection: Connection, landing: Landing, organisation: str) -> None:
    """Those of the default branch. What cannot be read there stays as it was."""
    snapshot = landing.view.snapshot
    live = dict.fromkeys(connection_names(connection, organisation))
    write_connections(
        connection,
        organisation,
        wanted_connections(snapshot),
        commit=landing.plan.head or "",
        keep=kept_connections(snapshot, live),
    )


def _write_versions(connection: Connection, landing: Landing, organisation: str) -> None:
    everything = landing.everything
    for start in range(0, len(everything), CHUNK):
        _write_chunk(connection, everything[start : start + CHUNK], landing.view.reader, organisation)


def _write_chunk(
    connection: Connection, firsts: tuple[FirstHeld, ...], reader: Reader, organisation: str
) -> None:
    store_versions(connection, [(first.version, first.commit.tree) for first in firsts], reader)
    add_freezes(connection, organisation, [_freeze(first) for first in firsts])


def store_versions(connection: Connection, held: Sequence[tuple[Version, str]], reader: Reader) -> None:
    """Content and assets of versions, each with a tree that holds them. What is stored already stays."""
    add_assets(connection, _assets(connection, held, reader))
    add_versions(connection, [_content(version) for version, _ in held])


def _assets(
    connection: Connection, held: Sequence[tuple[Version, str]], reader: Reader
) -> Iterable[tuple[str, bytes]]:
    """(SHA-256, bytes) of those that are not stored yet, read one at a time."""
    places = {digest: (tree, path) for version, tree in held for path, digest in version.assets.items()}
    for digest in sorted(missing_assets(connection, places.keys())):
        yield digest, reader.content(*places[digest])


def _content(version: Version) -> VersionContent:
    return VersionContent(
        id=version.id, pattern=version.pattern, spec=version.spec, assets=version.assets, calls=version.calls
    )


def _freeze(first: FirstHeld) -> Freeze:
    return Freeze(
        version_id=first.version.id,
        pattern=first.version.pattern,
        number=first.number,
        commit=first.commit.id,
        author=first.commit.author,
        message=first.commit.message,
        frozen_at=first.commit.at,
    )


def _row(step: Step, applying: Applying) -> DeploymentRow:
    after = step.after
    assert after is not None
    return DeploymentRow(
        name=step.name,
        pattern=after.pattern,
        environment=after.environment,
        state=after.state,
        version_id=after.version.id if after.version else None,
        hook_token=hook_token(applying.installation_key, applying.organisation, step.name),
        conditions=conditions(step, datetime.now(UTC)),
        tried_commit=step.tried,
        spec=after.spec,
        metadata=after.metadata,
        revision=_revision(step, applying.actor) if step.revises else None,
    )


def _revision(step: Step, actor: str | None) -> RevisionRow:
    commit = step.commit
    assert commit is not None
    return RevisionRow(commit=commit.id, author=commit.author, message=commit.message, actor=actor)


def conditions(step: Step, now: datetime) -> tuple[Condition, ...]:
    """What a deployment's row says of how it is."""
    at = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if step.reason is not None:
        code, message = step.reason.code, step.reason.message
        return (
            Condition("Ready", False, code, message, step.tried, at),
            Condition("Stalled", True, code, message, step.tried, at),
        )
    after = step.after
    assert after is not None
    version = after.version
    message = f"{version} is {after.state}." if after.state != "undeployed" else "Its file was removed."
    return (Condition("Ready", after.state == "active", after.state, message, step.tried, at),)


def _project(landing: Landing) -> Mapping[str, JSON]:
    """The `spec` of weft.yaml; where it has problems or is not there, none."""
    places = landing.view.snapshot.places.of_kind(Kind.PROJECT).values()
    documents = [place.document for found in places for place in found if place.document]
    return documents[0].spec if documents else {}
