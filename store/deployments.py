"""Deployments as they are live, their revisions, and what triggers need to know of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from schemas.pattern import JSON, Pattern, pattern_from_spec
from store.database import Connection
from store.versions import Freeze, load_versions

UNDEPLOYED = "undeployed"


class Condition(NamedTuple):
    """One thing that is so or not: `type` is "Ready" or "Stalled", `at` RFC 3339, `message` with what to do."""

    type: str
    status: bool
    reason: str
    message: str
    commit: str | None
    at: str


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployment with its current revision (`spec` … `at`). `version` is None where it never had one.

    `state` is active, paused, archived or undeployed. `newest` is the highest number its pattern has. `circuit` is
    there while it is open: `failures` (see store.circuits), `openedAt`, `tryAt`, `probe`. `passed_over` are the bad
    ends that it listens to and that started no run, by reason (see store.passed_over).
    """

    id: int
    organisation: str
    name: str
    pattern: str
    environment: str
    state: str
    revision: int
    hook_token: str
    conditions: tuple[Condition, ...]
    tried_commit: str | None
    updated_at: datetime
    spec: Mapping[str, JSON]
    metadata: Mapping[str, JSON]
    commit: str
    author: str
    message: str
    actor: str | None
    at: datetime
    circuit: Mapping[str, JSON] | None
    passed_over: Mapping[str, Mapping[str, JSON]] | None
    version: Freeze | None
    newest: int | None

    @property
    def stalled(self) -> bool:
        return any(condition.type == "Stalled" and condition.status for condition in self.conditions)


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One change of a deployment: what it was set to, by which commit, by whom."""

    deployment_id: int
    revision: int
    state: str
    version_id: str | None
    number: int | None
    spec: Mapping[str, JSON]
    metadata: Mapping[str, JSON]
    commit: str
    author: str
    message: str
    actor: str | None
    at: datetime


@dataclass(frozen=True, kw_only=True)
class DeploymentFilter:
    """Which deployments a list shows; None: all. `q` is looked for in the name and the pattern's name."""

    state: str | None = None
    environment: str | None = None
    pattern: str | None = None
    q: str | None = None


_DEPLOYMENT = """SELECT d.id, d.organisation, d.name, d.pattern, d.environment, d.state, d.revision, d.hook_token,
        d.conditions, d.tried_commit, d.updated_at,
        r.spec, r.metadata, r.commit, r.author, r.message, r.actor, r.at,
        CASE WHEN d.circuit_open THEN json_build_object('failures', c.failures, 'openedAt', c.opened_at,
            'tryAt', c.try_at, 'probe', c.probe) END,
        e.passed_over,
        (SELECT max(n.number) FROM freezes n WHERE n.organisation = d.organisation AND n.pattern = d.pattern),
        d.version_id, f.pattern, f.number, f.commit, f.author, f.message, f.frozen_at
    FROM deployments d
    JOIN revisions r ON r.deployment_id = d.id AND r.revision = d.revision
    LEFT JOIN circuits c ON c.deployment_id = d.id
    LEFT JOIN error_triggers e ON e.deployment_id = d.id
    LEFT JOIN freezes f ON f.organisation = d.organisation AND f.version_id = d.version_id"""


def list_deployments(
    connection: Connection, organisation: str, filters: DeploymentFilter, cursor: str | None, limit: int
) -> tuple[list[Deployment], str | None]:
    """Up to `limit` deployments by name behind `cursor` (a name), and the cursor of the next page or None.

    Undeployed ones are listed only when `filters.state` asks for them.
    """
    rows = connection.execute(
        f"""{_DEPLOYMENT} WHERE d.organisation = %(organisation)s AND d.name > %(cursor)s
            AND CASE WHEN %(state)s::text IS NULL THEN d.state <> 'undeployed' ELSE d.state = %(state)s END
            AND (%(environment)s::text IS NULL OR d.environment = %(environment)s)
            AND (%(pattern)s::text IS NULL OR d.pattern = %(pattern)s)
            AND (%(q)s::text IS NULL OR strpos(d.name, %(q)s) > 0 OR strpos(d.pattern, %(q)s) > 0)
            ORDER BY d.name LIMIT %(limit)s""".encode(),
        {
            "organisation": organisation,
            "cursor": cursor or "",
            "state": filters.state,
            "environment": filters.environment,
            "pattern": filters.pattern,
            "q": filters.q,
            "limit": limit + 1,
        },
    ).fetchall()
    found = [_deployment(row) for row in rows[:limit]]
    return found, found[-1].name if len(rows) > limit else None


def get_deployment(connection: Connection, organisation: str, name: str) -> Deployment | None:
    """One by name, also when it is undeployed."""
    row = connection.execute(
        f"{_DEPLOYMENT} WHERE d.organisation = %s AND d.name = %s".encode(), [organisation, name]
    ).fetchone()
    return None if row is None else _deployment(row)


def all_deployments(connection: Connection, organisation: str) -> dict[str, Deployment]:
    """Every deployment that there is or was, by name."""
    rows = connection.execute(f"{_DEPLOYMENT} WHERE d.organisation = %s".encode(), [organisation])
    return {found.name: found for found in map(_deployment, rows)}


_REVISION = """SELECT r.deployment_id, r.revision, r.state, r.version_id, f.number, r.spec, r.metadata, r.commit,
        r.author, r.message, r.actor, r.at
    FROM revisions r JOIN deployments d ON d.id = r.deployment_id
    LEFT JOIN freezes f ON f.organisation = d.organisation AND f.version_id = r.version_id"""


def revisions(
    connection: Connection, deployment_id: int, *, before: int | None = None, limit: int = 50
) -> list[Revision]:
    """A deployment's history, newest first, below revision `before`."""
    rows = connection.execute(
        f"""{_REVISION} WHERE r.deployment_id = %s AND (%s::integer IS NULL OR r.revision < %s)
            ORDER BY r.revision DESC LIMIT %s""".encode(),
        [deployment_id, before, before, limit],
    )
    return [_revision(row) for row in rows]


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """A version that another one calls. `newest` is the highest number of its pattern."""

    pattern: str
    version_id: str
    number: int | None
    newest: int | None


def dependencies(connection: Connection, organisation: str, version_id: str) -> list[Dependency]:
    """What a version calls, directly, by pattern name."""
    rows = connection.execute(
        """SELECT v.pattern, v.id, f.number,
               (SELECT max(n.number) FROM freezes n
                WHERE n.organisation = %(organisation)s AND n.pattern = v.pattern)
           FROM versions caller, json_each_text(caller.content -> 'calls') AS call (key, id)
           JOIN versions v ON v.id = call.id
           LEFT JOIN freezes f ON f.organisation = %(organisation)s AND f.version_id = v.id
           WHERE caller.id = %(version)s ORDER BY v.pattern, f.number""",
        {"organisation": organisation, "version": version_id},
    )
    return [Dependency(pattern=p, version_id=v, number=n, newest=m) for p, v, n, m in rows]


@dataclass(frozen=True, kw_only=True)
class Route:
    """What a webhook call needs to know. `pattern` is the live version's, `number` that version's."""

    token: str
    deployment_id: int
    organisation: str
    environment: str
    name: str
    state: str
    version_id: str
    number: int | None
    pattern: Pattern


_ROUTES = """SELECT d.hook_token, d.id, d.organisation, d.environment, d.name, d.state, d.version_id, f.number
    FROM deployments d
    LEFT JOIN freezes f ON f.organisation = d.organisation AND f.version_id = d.version_id"""


def webhook_routes(connection: Connection, known: dict[str, Pattern]) -> dict[str, Route]:
    """Every deployed webhook, by token.

    `known` remembers patterns by version id from call to call, so that only new versions are loaded; those that are
    live no more are dropped from it.
    """
    rows = connection.execute(
        f"{_ROUTES} WHERE d.state <> 'undeployed' AND d.version_id IS NOT NULL"
    ).fetchall()
    for gone in known.keys() - {row[6] for row in rows}:
        del known[gone]
    return {token: route for token, route in _routes(connection, rows, known).items() if route is not None}


def changed_routes(
    connection: Connection, organisation: str, names: Sequence[str], known: dict[str, Pattern]
) -> dict[str, Route | None]:
    """The webhooks of these deployments by token, None for what is undeployed or has no webhook."""
    rows = connection.execute(
        f"{_ROUTES} WHERE d.organisation = %s AND d.name = ANY(%s)", [organisation, list(names)]
    ).fetchall()
    return _routes(connection, rows, known)


def _routes(
    connection: Connection, rows: Sequence[tuple[JSON, ...]], known: dict[str, Pattern]
) -> dict[str, Route | None]:
    deployed = [row for row in rows if row[5] != UNDEPLOYED and row[6] is not None]
    for id_, content in load_versions(connection, {row[6] for row in deployed} - known.keys()).items():
        known[id_] = pattern_from_spec(content.pattern, content.spec)
    found: dict[str, Route | None] = {row[0]: None for row in rows}
    return found | {row[0]: _route(row, known[row[6]]) for row in deployed}


def _route(row: tuple[JSON, ...], pattern: Pattern) -> Route | None:
    if pattern.webhook is None:
        return None
    names = (
        *("token", "deployment_id", "organisation", "environment", "name", "state", "version_id", "number"),
    )
    return Route(**dict(zip(names, row, strict=True)), pattern=pattern)


def _deployment(row: tuple[JSON, ...]) -> Deployment:
    names = (
        "id", "organisation", "name", "pattern", "environment", "state", "revision", "hook_token", "conditions",
        "tried_commit", "updated_at", "spec", "metadata", "commit", "author", "message", "actor", "at", "circuit",
        "passed_over", "newest",
    )  # fmt: skip
    values = dict(zip(names, row, strict=False))
    values["conditions"] = tuple(Condition(**condition) for condition in values["conditions"])
    return Deployment(**values, version=_freeze(*row[len(names) :], fallback=row[3]))


def _freeze(*row: JSON, fallback: str) -> Freeze | None:
    """A version that no commit of the history is known for (a rebuild lost it) still has its id."""
    version_id, pattern, number, commit, author, message, frozen_at = row
    if version_id is None:
        return None
    return Freeze(
        version_id=version_id, pattern=pattern or fallback, number=number, commit=commit or "", author=author or "",
        message=message or "", frozen_at=frozen_at or datetime.min,
    )  # fmt: skip


def _revision(row: tuple[JSON, ...]) -> Revision:
    names = (
        "deployment_id", "revision", "state", "version_id", "number", "spec", "metadata", "commit", "author",
        "message", "actor", "at",
    )  # fmt: skip
    return Revision(**dict(zip(names, row, strict=True)))
