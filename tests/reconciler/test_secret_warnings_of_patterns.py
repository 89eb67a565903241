"""What patterns themselves name: secrets in their nodes, and those that their webhooks are checked with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from git_work import Work

from reconciler.reconciler import Reconciler
from store.database import Database
from store.secrets import SecretBook, SecretPlaces

KEY = b"k" * 32
HEAD = "apiVersion: weft/v1\n"
ASK: dict[str, Any] = {
    "id": "ask",
    "uses": "http",
    "with": {"url": "https://crm.example", "headers": {"x-key": "Key ${{ secrets.CRM_KEY }}"}},
}


def pattern(name: str, *nodes: dict[str, Any], **on: Any) -> str:
    spec = {"on": {"call": {}, **on}, "nodes": list(nodes)}
    return f"{HEAD}kind: Pattern\nmetadata: {{name: {name}}}\nspec: {json.dumps(spec)}\n"


def deployment(name: str) -> str:
    return f"{HEAD}kind: Deployment\nmetadata: {{name: {name}}}\nspec: {{pattern: {name}}}\n"


def warning(name: str, user: str) -> str:
    return (
        f"warning: there is no secret {name} for the environment production, which {user} needs:"
        f" weft secret set {name} --environment production"
    )


@pytest.fixture
def book(database: Database) -> Iterator[SecretBook]:
    book = SecretPlaces(installation_key=KEY).open(database)
    yield book
    book.close()


@pytest.fixture
def work(database: Database, tmp_path: Path, book: SecretBook) -> Work:
    url, git = "http://127.0.0.1:8080", tmp_path / "git"
    reconciler = Reconciler(database, git, installation_key=KEY, public_url=url, unknown_secrets=book.unknown)
    return Work(tmp_path / "work", reconciler)


def warnings(work: Work, files: dict[str, str]) -> list[str]:
    work.commit({**files}, "change")
    outcome = work.push()
    assert not outcome.refused, outcome.lines
    return [line for line in outcome.lines if "warning" in line]


def test_a_secret_of_a_node_is_looked_for(work: Work, book: SecretBook) -> None:
    files = {"patterns/a.yaml": pattern("a", ASK), "deployments/a.yaml": deployment("a")}
    assert warnings(work, files) == [warning("CRM_KEY", "deployment a")]
    book.stored.put("default", "production", "CRM_KEY", "hunter2", by="ada")
    assert (
        warnings(work, {"patterns/a.yaml": pattern("a", ASK, {"id": "b", "uses": "set", "with": {"x": 1}})})
        == []
    )


def test_a_secret_of_a_called_pattern_is_the_callers(work: Work) -> None:
    call = {"id": "call", "uses": "call", "with": {"pattern": "a"}}
    files = {
        "patterns/a.yaml": pattern("a", ASK),
        "patterns/b.yaml": pattern("b", call),
        "deployments/b.yaml": deployment("b"),
    }
    assert warnings(work, files) == [warning("CRM_KEY", "deployment b")]


def test_a_pattern_that_is_not_deployed_needs_nothing_yet(work: Work) -> None:
    assert warnings(work, {"patterns/a.yaml": pattern("a", ASK)}) == []


@pytest.mark.parametrize(("named", "missing"), [("ONE", ["ONE"]), (["ONE", "TWO"], ["ONE", "TWO"])])
def test_what_a_webhook_is_checked_with_is_looked_for(work: Work, named: Any, missing: list[str]) -> None:
    node = {"id": "b", "uses": "set", "with": {"x": 1}}
    hook = {"verify": {"provider": "github", "secret": named}}
    files = {"patterns/a.yaml": pattern("a", node, webhook=hook), "deployments/a.yaml": deployment("a")}
    assert warnings(work, files) == [warning(name, "the webhook of a") for name in missing]


def test_the_webhook_of_a_called_pattern_is_nobodys(work: Work) -> None:
    node = {"id": "b", "uses": "set", "with": {"x": 1}}
    hook = {"verify": {"provider": "github", "secret": "ONE"}}
    call = {"id": "call", "uses": "call", "with": {"pattern": "a"}}
    files = {
        "patterns/a.yaml": pattern("a", node, webhook=hook),
        "patterns/b.yaml": pattern("b", call),
        "deployments/b.yaml": deployment("b"),
    }
    assert warnings(work, files) == []
