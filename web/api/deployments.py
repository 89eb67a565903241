"""What is live: deployments, and how they became what they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from schemas.pattern import JSON
from schemas.webhook import Webhook
from store.circuits import SHOWN
from store.database import Connection, Database
from store.deployments import (
    UNDEPLOYED,
    Condition,
    Dependency,
    Deployment,
    DeploymentFilter,
    Revision,
    dependencies,
    get_deployment,
    list_deployments,
    revisions,
)
from store.error_chains import LONGEST_CHAIN, MOST_A_MINUTE, PassedOver
from store.passed_over import recent
from store.repositories import repository_state
from store.slots import last_skipped
from store.versions import Freeze
from web.api.encoding import rfc3339, without_none
from web.api.query import DEFAULT_LIMIT, Parser, is_label, label, limit, number, one_of, words
from web.api.resource import Call
from web.api.schedules import SHOWN as NEXT
from web.api.schedules import coming, deployment_schedules, schedule_json
from web.contents import Content, Contents
from web.problems import Refusal, not_found

STATES = ("active", "paused", "archived", UNDEPLOYED)

LIST_QUERY: Mapping[str, Parser] = {
    "state": one_of(STATES),
    "environment": words,
    "pattern": label,
    "q": words,
    "cursor": label,
    "limit": limit,
}
REVISIONS_QUERY: Mapping[str, Parser] = {"cursor": number(1), "limit": limit}


class Deployments:
    def __init__(self, database: Database, contents: Contents, public_url: str) -> None:
        self._database = database
        self._contents = contents
        self._hooks = f"{public_url.rstrip('/')}/hooks"

    def list(self, call: Call) -> JSON:
        query, organisation = dict(call.query), call.identity.organisation
        cursor, most = query.pop("cursor"), query.pop("limit") or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found, following = list_deployments(
                connection, organisation, DeploymentFilter(**query), cursor, most
            )
            branch = _default_branch(connection, organisation)
            items = [self._summary(connection, one, branch) for one in found]
        return {"items": items, "next": following}

    def one(self, call: Call) -> JSON:
        with self._database.connection() as connection:
            found = find_deployment(connection, call)
            branch = _default_branch(connection, found.organisation)
            summary = self._summary(connection, found, branch)
            triggers: list[dict[str, Any]] = []
            called: list[Dependency] = []
            skipped = last_skipped(connection, found.id)
            if found.version is not None:
                content = self._contents.get(connection, found.version.version_id)
                triggers = _triggers(found, content, summary["webhookUrl"])
                called = dependencies(connection, found.organisation, found.version.version_id)
        return {
            **summary,
            "triggers": triggers,
            "nextFireTimes": sorted({at for one in triggers for at in one.get("nextFireTimes", ())})[:NEXT],
            "dependencies": [_dependency_json(one) for one in called],
            "variables": found.spec.get("variables", {}),
            "concurrency": found.spec.get("concurrency"),
            "circuitBreaker": found.spec.get("circuitBreaker"),
            "circuit": found.circuit,
            "lastSkipped": skipped and {"at": rfc3339(skipped.at), "reason": skipped.reason},
        }

    def revisions(self, call: Call) -> JSON:
        most = call.query["limit"] or DEFAULT_LIMIT
        with self._database.connection() as connection:
            found = find_deployment(connection, call)
            rows = revisions(connection, found.id, before=call.query["cursor"], limit=most + 1)
        following = str(rows[most - 1].revision) if len(rows) > most else None
        return {"items": [_revision_json(row) for row in rows[:most]], "next": following}

    def _summary(self, connection: Connection, found: Deployment, branch: str) -> dict[str, Any]:
        hook = None
        if found.version is not None and found.state != UNDEPLOYED:
            content = self._contents.get(connection, found.version.version_id)
            hook = f"{self._hooks}/{found.hook_token}" if content.pattern.webhook else None
        return {
            "name": found.name,
            "pattern": found.pattern,
            "environment": found.environment,
            "state": found.state,
            "status": _status(found),
            "conditions": [_condition_json(one) for one in _conditions(found)],
            "version": None if found.version is None else version_json(found.version),
            "newest": found.newest,
            "source": found.spec.get("source", {"branch": branch}),
            "webhookUrl": hook,
            "revision": found.revision,
            "deployedAt": rfc3339(found.at),
            "deployedBy": found.actor or found.author,
            "commit": found.commit,
        }


def find_deployment(connection: Connection, call: Call) -> Deployment:
    """The one that the path names, undeployed ones too. Raises Refusal."""
    name = call.path["name"]
    found = get_deployment(connection, call.identity.organisation, name) if is_label(name) else None
    if found is None:
        raise no_deployment(name)
    return found


def no_deployment(name: str) -> Refusal:
    return not_found(
        f"There is no deployment {name!r:.80}. `weft deployments` lists them; a file below deployments/ makes one."
    )


def version_json(version: Freeze) -> dict[str, JSON]:
    return {
        "id": version.version_id,
        "number": version.number,
        "commit": version.commit,
        "author": version.author,
        "message": version.message,
        "frozenAt": None if version.frozen_at == datetime.min else rfc3339(version.frozen_at),
    }


def _default_branch(connection: Connection, organisation: str) -> str:
    state = repository_state(connection, organisation)
    return "main" if state is None else state.default_branch


def _status(found: Deployment) -> str:
    """`stalled` needs a person; what is paused or archived is as `ready`, as its file wants it."""
    if found.stalled:
        return "stalled"
    return "circuit_open" if found.circuit is not None and found.state == "active" else "ready"


def _conditions(found: Deployment) -> Iterator[Condition]:
    yield from found.conditions
    yield from _circuit(found)
    yield from _passed_over(found)


_REASONS: Final = {
    PassedOver.OWN_CHAIN: "a run of its own pattern had led to {ends}",
    PassedOver.TOO_LONG: f"{LONGEST_CHAIN} error runs had led to {{ends}}, one from the other",
    PassedOver.TOO_MANY: f"{MOST_A_MINUTE} runs had started within a minute of {{ends}}",
    PassedOver.CIRCUIT_OPEN: "the circuit was open at {ends}",
}


def _passed_over(found: Deployment) -> Iterator[Condition]:
    """Errors that it listens to, and that started no run."""
    counted = recent(found.passed_over, datetime.now(UTC))
    if not counted:
        return
    last = max(counted.values(), key=lambda one: str(one["lastAt"]))
    said = [
        _REASONS[PassedOver(reason)].format(ends=f"{one['count']:,} bad end{'s' if one['count'] > 1 else ''}")
        for reason, one in counted.items()
    ]
    message = (
        f"No run was started where {', where '.join(said)}. The last one: run {last['run']} of {last['pattern']},"
        f" at {last['lastAt']}."
    )
    yield Condition("ErrorsPassedOver", True, "LoopProtection", message, None, str(last["lastAt"]))


def _circuit(found: Deployment) -> Iterator[Condition]:
    """Why no runs begin: as a condition, beside those of the last apply."""
    if found.circuit is None:
        return
    failures = [f"{one['type']}: {one['message']}" for one in found.circuit["failures"][-SHOWN:]]
    until = rfc3339(datetime.fromisoformat(found.circuit["tryAt"]))
    then = "A run is let in as a probe now." if found.circuit["probe"] else f"One run is let in at {until}."
    message = (
        f"Too many runs ended badly, no more begin. {then} `weft resume {found.name}` closes the circuit."
        f" Last errors: {'; '.join(dict.fromkeys(reversed(failures)))}"
    )
    opened = rfc3339(datetime.fromisoformat(found.circuit["openedAt"])) or ""
    yield Condition("CircuitOpen", True, "TooManyFailures", message, None, opened)


def _condition_json(condition: Condition) -> dict[str, JSON]:
    return without_none(condition._asdict())


def _dependency_json(called: Dependency) -> dict[str, JSON]:
    return {"pattern": called.pattern, "number": called.number, "newest": called.newest}


def _triggers(found: Deployment, content: Content, hook: str | None) -> list[dict[str, JSON]]:
    pattern = content.pattern
    triggers: list[dict[str, JSON]] = []
    if pattern.webhook is not None:
        triggers.append(_webhook_json(pattern.webhook, hook))
    triggers += [
        schedule_json(number, one, coming(found, one))
        for number, one in enumerate(deployment_schedules(found, content), 1)
    ]
    if pattern.callable:
        triggers.append({"kind": "call"})
    if pattern.error_from:
        triggers.append({"kind": "error", "from": list(pattern.error_from)})
    return triggers


def _webhook_json(webhook: Webhook, url: str | None) -> dict[str, JSON]:
    """With what it says of who may call, and how often."""
    verify, rate = webhook.verify, webhook.rate_limit
    return {
        "kind": "webhook",
        "url": url,
        "methods": list(webhook.methods),
        "respond": webhook.respond,
        **({"verify": {"provider": verify.provider, "mode": verify.mode}} if verify else {}),
        **({"allowFrom": list(webhook.allow_from)} if webhook.allow_from else {}),
        **({"rateLimit": f"{rate.count}/{rate.unit}"} if rate else {}),
    }


def _revision_json(row: Revision) -> dict[str, JSON]:
    version = None if row.version_id is None else {"id": row.version_id, "number": row.number}
    return {
        "revision": row.revision,
        "state": row.state,
        "version": version,
        "spec": row.spec,
        "commit": row.commit,
        "author": row.author,
        "message": row.message,
        "actor": row.actor,
        "at": rfc3339(row.at),
    }
