from dataclasses import replace
from datetime import UTC, datetime

import pytest

from schemas.pattern import Pattern
from store.database import Connection
from store.deployment_rows import DeploymentRow, RevisionRow, write_deployments
from store.deployments import (
    Condition,
    DeploymentFilter,
    all_deployments,
    changed_routes,
    dependencies,
    get_deployment,
    list_deployments,
    revisions,
    webhook_routes,
)
from store.notifications import Changed
from store.versions import Freeze, VersionContent, add_freezes, add_versions

SPEC = {
    "on": {"webhook": {"methods": ["PUT"], "maxBody": "2MiB"}},
    "nodes": [
        {
            "id": "a",
            "uses": "branch",
            "if": "${{ true }}",
            "then": [{"id": "b", "uses": "log", "with": {"message": "x"}}],
        }
    ],
}
READY = (Condition("Ready", True, "active", "v1 is active.", "c1", "2026-01-01T00:00:00Z"),)
BY_ADA = RevisionRow(commit="c1", author="Ada", message="First", actor="ada")


@pytest.fixture
def stored(connection: Connection) -> Connection:
    """Versions of p and q; p calls q. Nothing is deployed."""
    connection.execute("DELETE FROM revisions")
    connection.execute("DELETE FROM deployments")
    add_versions(
        connection,
        [
            VersionContent(id="p1", pattern="p", spec=SPEC, calls={"q": "q1"}),
            VersionContent(id="p2", pattern="p", spec={**SPEC, "on": {}}),
            VersionContent(id="q1", pattern="q", spec=SPEC),
            VersionContent(id="q2", pattern="q", spec=SPEC),
        ],
    )
    frozen = [("p1", "p", 1), ("q1", "q", 1), ("q2", "q", 2), ("p2", "p", None)]
    add_freezes(
        connection,
        "org",
        [
            Freeze(
                version_id=i,
                pattern=p,
                number=n,
                commit="c1",
                author="A",
                message="m",
                frozen_at=datetime.now(UTC),
            )
            for i, p, n in frozen
        ],
    )
    return connection


def row(name: str, **changes: object) -> DeploymentRow:
    plain = DeploymentRow(
        name=name, pattern="p", environment="production", state="active", version_id="p1", hook_token=f"t-{name}",
        conditions=READY, tried_commit="c1", spec={"pattern": "p"}, metadata={"title": "T"}, revision=BY_ADA,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_every_revision_is_kept_and_the_last_one_counts(stored: Connection) -> None:
    write_deployments(stored, "org", [row("a"), row("b")])
    write_deployments(
        stored, "org", [row("a", version_id="p2", revision=replace(BY_ADA, commit="c2", actor=None))]
    )
    write_deployments(stored, "org", [row("a", version_id="p2", metadata={"title": "New"}, revision=None)])
    found = get_deployment(stored, "org", "a")
    assert found is not None
    assert found.version is not None
    assert (found.revision, found.version.version_id, found.version.number) == (2, "p2", None)
    assert (found.commit, found.actor, found.metadata, found.newest) == ("c2", None, {"title": "New"}, 1)
    assert found.conditions == READY
    history = revisions(stored, found.id)
    assert [(one.revision, one.version_id, one.number) for one in history] == [(2, "p2", None), (1, "p1", 1)]
    assert [one.revision for one in revisions(stored, found.id, before=2)] == [1]
    assert set(all_deployments(stored, "org")) == {"a", "b"}


def test_lists_are_paged_and_filtered(stored: Connection) -> None:
    write_deployments(
        stored,
        "org",
        [row(f"d{n}") for n in range(5)]
        + [
            row("paused", state="paused"),
            row("gone", state="undeployed"),
            row("stage", environment="staging"),
        ],
    )
    write_deployments(stored, "elsewhere", [row("d0", hook_token="other")])

    def names(limit: int = 10, cursor: str | None = None, **filters: str) -> tuple[list[str], str | None]:
        found, following = list_deployments(stored, "org", DeploymentFilter(**filters), cursor, limit)
        return [one.name for one in found], following

    assert names(3) == (["d0", "d1", "d2"], "d2")
    assert names(3, "d2") == (["d3", "d4", "paused"], "paused")
    assert names(3, "paused") == (["stage"], None)
    assert names(state="undeployed") == (["gone"], None)
    assert names(environment="staging") == (["stage"], None)
    assert names(q="aus") == (["paused"], None)
    assert names(q="%") == ([], None)
    assert names(pattern="q") == ([], None)


def test_routes_are_of_what_is_deployed_and_has_a_webhook(stored: Connection) -> None:
    write_deployments(
        stored,
        "org",
        [row("a"), row("b", state="paused"), row("c", state="undeployed"), row("d", version_id="p2")],
    )
    known: dict[str, Pattern] = {}
    routes = sorted(webhook_routes(stored, known).values(), key=lambda route: route.name)
    assert [(route.name, route.state) for route in routes] == [("a", "active"), ("b", "paused")]
    webhooks = {(r.pattern.webhook.methods, r.pattern.webhook.max_body) for r in routes if r.pattern.webhook}
    assert webhooks == {(("PUT",), 2 * 1024 * 1024)}
    assert set(known) == {"p1", "p2"}
    write_deployments(stored, "org", [row("d", version_id="p1")])
    assert len(webhook_routes(stored, known)) == 3
    assert "p2" not in known


def test_routes_that_changed_are_told_apart_from_those_that_went(stored: Connection) -> None:
    write_deployments(stored, "org", [row("a"), row("b"), row("c"), row("d", version_id="p2")])
    known: dict[str, Pattern] = {}
    before = webhook_routes(stored, known)
    write_deployments(stored, "org", [row("a", state="paused"), row("b", state="undeployed")])

    found = changed_routes(stored, "org", ["a", "b", "d", "nobody"], known)

    told = {route.name: route.state for route in found.values() if route is not None}
    assert told == {"a": "paused"}
    assert {before[token].name for token, route in found.items() if route is None and token in before} == {
        "b"
    }
    assert changed_routes(stored, "another", ["a"], known) == {}
    after = {token: route for token, route in {**before, **found}.items() if route is not None}
    assert after == webhook_routes(stored, known)


@pytest.mark.parametrize("names", [(), ("a",), ("a", "b-c"), tuple(f"d{n}" * 20 for n in range(1000)), None])
def test_a_notification_names_a_few_and_says_that_there_are_many(names: tuple[str, ...] | None) -> None:
    payload = Changed("org", names).payload

    assert len(payload) < 8000
    assert Changed.read(payload) == Changed("org", names if names is None or len(names) <= 100 else None)


def test_dependencies_say_whether_they_are_the_newest(stored: Connection) -> None:
    (found,) = dependencies(stored, "org", "p1")
    assert (found.pattern, found.version_id, found.number, found.newest) == ("q", "q1", 1, 2)
    assert dependencies(stored, "org", "q1") == []


def test_what_starts_runs_has_a_version(stored: Connection) -> None:
    with pytest.raises(Exception, match="check constraint"):
        write_deployments(stored, "org", [row("a", version_id=None)])
