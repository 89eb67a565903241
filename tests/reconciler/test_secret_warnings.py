"""Pushes, changes and plans warn of secrets that are needed and not there, and are refused for none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from git_work import Work, pattern

from reconciler.reconciler import Reconciler
from reconciler.reviews.changes import plan_digest
from store.database import Database
from store.secrets import SecretBook, SecretPlaces

KEY = b"k" * 32
HEAD = "apiVersion: weft/v1\n"


def connection(name: str, **spec: Any) -> str:
    spec = {"type": "postgresql", "url": "postgresql://db/shop"} | spec
    return f"{HEAD}kind: Connection\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def asking(name: str, *connections: str, calls: str = "") -> str:
    nodes = [
        {"id": f"rows{at}", "uses": "sql", "with": {"connection": one, "query": "SELECT 1"}}
        for at, one in enumerate(connections)
    ]
    if calls:
        nodes.append({"id": "call", "uses": "call", "with": {"pattern": calls}})
    spec = {
        "on": {"webhook": {}, "call": {}},
        "nodes": nodes or [{"id": "a", "uses": "set", "with": {"x": 1}}],
    }
    return f"{HEAD}kind: Pattern\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def deployment(name: str, of: str, environment: str = "production", **spec: Any) -> str:
    spec = {"pattern": of, "environment": environment} | spec
    return f"{HEAD}kind: Deployment\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


PASSWORD = "${{ secrets.DB_PASSWORD }}"
FILES: dict[str, str | None] = {
    "connections/shop.yaml": connection("shop", password=PASSWORD),
    "patterns/orders.yaml": asking("orders", "shop"),
    "deployments/orders.yaml": deployment("orders", "orders"),
}
WARNING = (
    "warning: there is no secret DB_PASSWORD for the environment production, which connection shop needs:"
    " weft secret set DB_PASSWORD --environment production"
)


@pytest.fixture
def book(database: Database) -> Iterator[SecretBook]:
    book = SecretPlaces(installation_key=KEY).open(database)
    yield book
    book.close()


@pytest.fixture
def reconciler(database: Database, tmp_path: Path, book: SecretBook) -> Reconciler:
    url = "http://127.0.0.1:8080"
    return Reconciler(
        database, tmp_path / "git", installation_key=KEY, public_url=url, unknown_secrets=book.unknown
    )


@pytest.fixture
def set_(book: SecretBook) -> Callable[..., None]:
    def set_(name: str, environment: str = "") -> None:
        book.stored.put("default", environment, name, "hunter2", by="ada")

    return set_


def warnings(work: Work, files: dict[str, str | None], message: str = "change") -> list[str]:
    work.commit(files, message)
    outcome = work.push()
    assert not outcome.refused, outcome.lines
    return [line for line in outcome.lines if "warning" in line]


def test_a_push_warns_of_a_secret_that_is_not_there_and_lands(work: Work) -> None:
    assert warnings(work, FILES) == [WARNING]


@pytest.mark.parametrize("environment", ["", "production"])
def test_a_secret_that_is_there_is_no_news(work: Work, set_: Callable[..., None], environment: str) -> None:
    set_("DB_PASSWORD", environment)
    assert warnings(work, FILES) == []


def test_a_secret_of_another_environment_does_not_count(work: Work, set_: Callable[..., None]) -> None:
    set_("DB_PASSWORD", "staging")
    assert warnings(work, FILES) == [WARNING]


def test_only_what_a_push_changes_is_looked_at(work: Work) -> None:
    assert warnings(work, FILES) == [WARNING]
    other: dict[str, str | None] = {
        "patterns/other.yaml": asking("other"),
        "deployments/other.yaml": deployment("other", "other"),
    }
    assert warnings(work, other) == []
    again = warnings(work, {"deployments/orders.yaml": deployment("orders", "orders", variables={})})
    assert again == [WARNING]


def test_a_deployment_in_another_environment_needs_the_connections_secret_there(
    work: Work, set_: Callable[..., None]
) -> None:
    set_("DB_PASSWORD", "production")
    assert warnings(work, FILES) == []
    staged = {"deployments/staged.yaml": deployment("staged", "orders", "staging")}
    assert warnings(work, {**staged}) == [WARNING.replace("production", "staging")]


def test_a_changed_connection_is_looked_at_where_it_is_used(work: Work, set_: Callable[..., None]) -> None:
    plain = FILES | {
        "connections/shop.yaml": connection("shop"),
        "deployments/staged.yaml": deployment("staged", "orders", "staging"),
        "patterns/other.yaml": asking("other"),
        "deployments/other.yaml": deployment("other", "other", "testing"),
    }
    assert warnings(work, plain) == []
    set_("DB_PASSWORD", "staging")
    changed = {"connections/shop.yaml": connection("shop", password=PASSWORD)}
    assert warnings(work, {**changed}) == [WARNING]
    own = {"staging": {"password": "${{ secrets.OTHER }}"}}
    both = {"connections/shop.yaml": connection("shop", password=PASSWORD, environments=own)}
    assert warnings(work, {**both}) == [
        WARNING,
        WARNING.replace("production", "staging").replace("DB_PASSWORD", "OTHER"),
    ]


def test_what_a_pattern_calls_needs_its_secrets_in_the_callers_environment(work: Work) -> None:
    files = FILES | {
        "deployments/orders.yaml": None,
        "patterns/caller.yaml": asking("caller", calls="middle"),
        "patterns/middle.yaml": asking("middle", calls="orders"),
        "deployments/caller.yaml": deployment("caller", "caller", "staging"),
    }
    del files["deployments/orders.yaml"]
    assert warnings(work, files) == [WARNING.replace("production", "staging")]


def test_a_plan_has_warnings_in_text_markdown_and_json(work: Work, reconciler: Reconciler) -> None:
    work.commit({"patterns/hello.yaml": pattern("hello", "one")}, "one")
    work.push()
    work.git("switch", "--quiet", "-c", "next")
    head = work.commit(FILES, "two")
    assert any(WARNING in line for line in work.push("next").lines)
    plan = reconciler.plan("default", None, head)
    assert plan.as_text().endswith(WARNING)
    assert f"- `{WARNING}`" in plan.as_markdown()
    assert plan.as_json()["warnings"] == [
        {
            "code": "unknown-secret",
            "secret": "DB_PASSWORD",
            "environment": "production",
            "neededBy": ["connection shop"],
            "message": "there is no secret DB_PASSWORD for the environment production",
            "hint": "weft secret set DB_PASSWORD --environment production",
        }
    ]
    change = reconciler.changes.one("default", "next")
    assert change.outlook is not None
    assert change.outlook.plan is not None
    assert [one.name for one in change.outlook.plan.warnings] == ["DB_PASSWORD"]
    proposed = reconciler.proposed("default", head)
    assert proposed.plan is not None
    assert WARNING in proposed.plan.as_markdown()


def test_setting_a_secret_takes_no_approval_away(
    work: Work, reconciler: Reconciler, set_: Callable[..., None]
) -> None:
    work.git("switch", "--quiet", "-c", "next")
    head = work.commit(FILES, "one")
    work.push("next")
    plans = [reconciler.plan("default", None, head)]
    set_("DB_PASSWORD")
    plans.append(reconciler.plan("default", None, head))
    assert [len(plan.warnings) for plan in plans] == [1, 0]
    assert plan_digest(plans[0]) == plan_digest(plans[1])


def test_many_warnings_are_counted(work: Work) -> None:
    files: dict[str, str | None] = {}
    for number in range(25):
        name = f"c{number:02}"
        files[f"connections/{name}.yaml"] = connection(name, password=f"${{{{ secrets.PW_{number:02} }}}}")
    files["patterns/orders.yaml"] = asking("orders", *(f"c{number:02}" for number in range(25)))
    files["deployments/orders.yaml"] = deployment("orders", "orders")
    found = warnings(work, files)
    assert len(found) == 20
    assert work.push().refused == {}
