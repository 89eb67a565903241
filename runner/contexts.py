"""Everything about a run that does not change while it runs, made once per version and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.kept import Kept
from runner.nodes.base import Assets, NodeError
from runner.program import Program, compile_pattern
from runner.project_connections import FilledConnections, ProjectConnections
from runner.secrets import Book, ProcessSecrets, Secrets
from schemas.deployment import DeploymentSpec, deployment_from_spec
from schemas.expressions import Template, compile_template
from schemas.outline import ERROR_NAMES
from schemas.pattern import JSON, RetryPolicy, pattern_from_spec
from schemas.stubs import Stub, stub_from
from schemas.webhook import Respond
from store import execution, versions
from store.database import Database
from store.execution import Ground, Surroundings


@dataclass(frozen=True, kw_only=True, slots=True)
class RunContext:
    """`calls` maps a call's key (`pattern`, or `pattern@3`) to the frozen version of it. `awaited`: callers of its
    webhook wait for what a run gives.

    `stubs` stand in place of nodes of a test run: by their ids, behind the calls that lead there (`tell/chat`).
    """

    organisation: str
    environment: str
    program: Program
    variables: Mapping[str, JSON]
    retry: RetryPolicy
    retry_when: Template | None
    timeout: float
    deployment: Mapping[str, JSON]
    version: Mapping[str, JSON]
    calls: Mapping[str, str]
    assets: Assets
    network: tuple[str, ...]
    connections: FilledConnections
    secrets: Secrets
    stubs: Mapping[str, Stub] = field(default_factory=dict)
    awaited: bool = False


class Contexts:
    """A cache: what a run stands on is immutable but for the project's network rules and connections, and for
    those there is `forget`.
    """

    def __init__(self, database: Database, book: Book) -> None:
        self._database = database
        self._secrets = ProcessSecrets(book)
        self._contexts: Kept[Ground, RunContext] = Kept(1024)
        self._programs: Kept[str, Program] = Kept(1024)
        self._assets: Kept[str, bytes] = Kept(64)

    def get(self, ground: Ground) -> RunContext:
        return self._contexts.get(ground, lambda: self._load(ground))

    def forget(self) -> None:
        """A commit was applied: the project's settings and connections may have changed. Compiled programs stay."""
        self._contexts.clear()

    def asset(self, asset_id: str) -> bytes:
        return self._assets.get(asset_id, lambda: self._load_asset(asset_id))

    def _load(self, ground: Ground) -> RunContext:
        with self._database.connection() as connection:
            found = execution.surroundings(connection, ground)
        program = self._programs.get(ground.version_id, lambda: _program(found))
        assets = FrozenAssets(self, found.content["assets"])
        environment = deployment_from_spec(found.spec).environment
        secrets = self._secrets.of(found.organisation, environment)
        connections = ProjectConnections(self._database, found.organisation, environment, secrets)
        return _assemble(found, program, assets, connections, secrets)

    def _load_asset(self, asset_id: str) -> bytes:
        with self._database.connection() as connection:
            return versions.load_asset(connection, asset_id)


class FrozenAssets:
    """The files frozen with one version."""

    def __init__(self, contexts: Contexts, ids: Mapping[str, str]) -> None:
        self._contexts = contexts
        self._ids = ids

    def read(self, path: str) -> bytes:
        if path not in self._ids:
            raise NodeError("missing_asset", f"{path} is not frozen with this version.", retryable=False)
        return self._contexts.asset(self._ids[path])


def _program(found: Surroundings) -> Program:
    return compile_pattern(pattern_from_spec(found.content["pattern"], found.content["spec"]))


def _assemble(
    found: Surroundings,
    program: Program,
    assets: FrozenAssets,
    connections: ProjectConnections,
    secrets: Secrets,
) -> RunContext:
    pattern = program.pattern
    spec = deployment_from_spec(found.spec)
    # The deployment's overrides are for its own pattern, not for those that it calls.
    own = spec if spec.pattern == pattern.name else DeploymentSpec(pattern=pattern.name)
    retry = own.retry or pattern.retry
    return RunContext(
        organisation=found.organisation,
        environment=spec.environment,
        program=program,
        variables={**pattern.variables, **own.variables},
        retry=retry,
        retry_when=None if retry.when is None else compile_template(retry.when, ERROR_NAMES),
        timeout=own.timeout or pattern.timeout,
        deployment={"name": found.deployment, "environment": spec.environment},
        version={"number": found.number, "commit": found.commit},
        awaited=pattern.webhook is not None and pattern.webhook.respond is not Respond.IMMEDIATE,
        calls=found.content["calls"],
        assets=assets,
        network=tuple(found.project.get("network", {}).get("allow", ())),
        connections=connections,
        secrets=secrets,
        stubs={path: stub_from(written) for path, written in found.stubs.items()},
    )
