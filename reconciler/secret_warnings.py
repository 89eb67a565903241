"""The secrets that what a landing changes will need and nobody has set: told, and no reason to refuse it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from reconciler.connections import wanted_connections
from reconciler.freeze import Version
from reconciler.landing import Landing
from reconciler.session import LostVersionError, Session
from reconciler.steps import Action, Plan, Step, UnknownSecret, VersionRef
from schemas.connection import in_environment, secret_names
from schemas.pattern import JSON
from schemas.references import nodes_with_paths
from schemas.secret_names import secrets_of_pattern

Needed = dict[tuple[str, str], dict[str, None]]
"""(environment, secret) → who needs it, each once, in order."""

UNUSED_IN = "production"
"""Where a connection is looked at that no deployment uses yet."""

_ACTIONS = (Action.CREATE, Action.CHANGE)
_STATES = ("active", "paused")


def described(landing: Landing, session: Session) -> Plan:
    """The plan for those who read it: with what it changes in words, and what it needs that is not there."""
    plan = landing.described(session.stored, datetime.now(UTC))
    return replace(plan, warnings=unknown_secrets(landing, session))


def warned(landing: Landing, session: Session) -> Plan:
    """The plan without those words."""
    return replace(landing.plan, warnings=unknown_secrets(landing, session))


def unknown_secrets(landing: Landing, session: Session) -> tuple[UnknownSecret, ...]:
    """By environment and name. Of a source that does not answer nobody knows, so nothing is said then."""
    needed = _needed(landing, session.stored)
    by_environment: dict[str, set[str]] = defaultdict(set)
    for environment, name in needed:
        by_environment[environment].add(name)
    unknown = {one: session.unknown_secrets(one, names) for one, names in by_environment.items()}
    return tuple(
        UnknownSecret(name=name, environment=environment, needed_by=tuple(needed[environment, name]))
        for environment, name in sorted(needed)
        if name in unknown[environment]
    )


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What a version names, with all that it calls."""

    secrets: frozenset[str] = frozenset()
    hook: frozenset[str] = frozenset()  # for its own webhook: nobody calls that
    connections: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Reads each version once. `held`: those that the head holds, by pattern, which need not be asked for."""

    held: Mapping[str, Version]
    content: Callable[[VersionRef], Mapping[str, JSON]]
    seen: dict[str, _Named] = field(default_factory=dict)

    def named(self, pattern: str, version: str) -> _Named:
        if version not in self.seen:
            self.seen[version] = self._read(pattern, version)
        return self.seen[version]

    def _read(self, pattern: str, version: str) -> _Named:
        try:
            content = self._content(pattern, version)
        except LostVersionError:
            return _Named()  # told elsewhere
        spec = content["spec"]
        called = [self.named(key.partition("@")[0], one) for key, one in content["calls"].items()]
        return _Named(
            secrets=_secrets(spec).union(*(one.secrets for one in called)),
            hook=frozenset(_hook_secrets(spec)),
            connections=frozenset(_connections(spec)).union(*(one.connections for one in called)),
        )

    def _content(self, pattern: str, version: str) -> Mapping[str, JSON]:
        held = self.held.get(pattern)
        if held is not None and held.id == version:
            return held.content
        return self.content(VersionRef(id=version, number=None))


def _needed(landing: Landing, stored: Callable[[str], Mapping[str, JSON]]) -> Needed:
    needed: Needed = defaultdict(dict)
    steps = [step for step in landing.plan.looked_at if step.action in _ACTIONS and _runs(step)]
    if not steps and not landing.plan.connections:
        return needed
    reader = _Reader(held=landing.view.snapshot.frozen.versions, content=landing.content(stored))
    connections = wanted_connections(landing.view.snapshot)
    for step in steps:
        for environment, name, user in _of_step(step, reader, connections):
            needed[environment, name][user] = None
    for environment, name, user in _of_changed_connections(landing, reader, connections):
        needed[environment, name][user] = None
    return needed


def _runs(step: Step) -> bool:
    return step.after is not None and step.after.state in _STATES and step.after.version is not None


def _of_step(
    step: Step, reader: _Reader, connections: Mapping[str, Mapping[str, JSON]]
) -> Iterator[tuple[str, str, str]]:
    assert step.after is not None
    assert step.after.version is not None
    named, environment = reader.named(step.after.pattern, step.after.version.id), step.after.environment
    for name in sorted(named.secrets):
        yield environment, name, f"deployment {step.name}"
    for name in sorted(named.hook):
        yield environment, name, f"the webhook of {step.name}"
    for connection in sorted(named.connections & connections.keys()):
        yield from _of_connection(connection, connections[connection], environment)


def _of_connection(name: str, spec: Mapping[str, JSON], environment: str) -> Iterator[tuple[str, str, str]]:
    for secret in secret_names(in_environment(spec, environment)):
        yield environment, secret, f"connection {name}"


def _of_changed_connections(
    landing: Landing, reader: _Reader, connections: Mapping[str, Mapping[str, JSON]]
) -> Iterator[tuple[str, str, str]]:
    """In the environments of the deployments that use them, judged by the patterns as the head has them."""
    changed = {change.path.split(".")[1] for change in landing.plan.connections} & connections.keys()
    if not any(next(secret_names(connections[name]), None) for name in changed):
        return
    used: dict[str, set[str]] = {name: set() for name in changed}
    for step in landing.plan.steps:
        after = step.after
        if after is not None and _runs(step) and after.pattern in reader.held:
            held = reader.held[after.pattern]
            for name in changed & reader.named(held.pattern, held.id).connections:
                used[name].add(after.environment)
    for name in sorted(changed):
        for environment in sorted(used[name] or {UNUSED_IN}):
            yield from _of_connection(name, connections[name], environment)


def _secrets(spec: Mapping[str, JSON]) -> frozenset[str]:
    # Most patterns name none, which is seen without understanding them.
    return secrets_of_pattern(spec) if "secrets" in json.dumps(spec["nodes"]) else frozenset()


def _hook_secrets(spec: Mapping[str, JSON]) -> list[str]:
    """What the signatures of its webhook are checked with: one, or two while it changes."""
    verify = ((spec.get("on") or {}).get("webhook") or {}).get("verify") or {}
    names = verify.get("secret", [])
    return [names] if isinstance(names, str) else list(names)


def _connections(spec: Mapping[str, JSON]) -> Iterator[str]:
    """Those that its nodes name, not those that an expression would give."""
    for node, _ in nodes_with_paths(spec["nodes"], ()):
        named = (node.get("with") or {}).get("connection")
        if isinstance(named, str):
            yield named
