"""What a push makes of the connections that runs use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import pytest
from git_work import Work, pattern

from reconciler.reconciler import Reconciler
from store.connections import connection_names, connection_spec
from store.database import DEPLOYMENTS_CHANGED, Database


def connection(name: str, url: str = "mysql://db/shop", **keys: str) -> str:
    more = "".join(f"\n  {key}: {value}" for key, value in keys.items())
    head = f"apiVersion: weft/v1\nkind: Connection\nmetadata: {{name: {name}}}\n"
    return f"{head}spec:\n  type: mysql\n  url: {url}{more}\n"


def spec(database: Database, name: str) -> Mapping[str, Any] | None:
    with database.connection() as c:
        return connection_spec(c, "default", name)


def names(database: Database) -> list[str]:
    with database.connection() as c:
        return connection_names(c, "default")


PASSWORD = "${{ secrets.PW }}"


def test_they_come_change_and_go_with_the_default_branch(work: Work, database: Database) -> None:
    work.commit({"connections/a.yaml": connection("a", password=PASSWORD)}, "one")
    assert "connection a added: mysql" in work.push().lines
    assert spec(database, "a") == {"type": "mysql", "url": "mysql://db/shop", "password": PASSWORD}

    work.commit({"connections/a.yaml": connection("a", "mysql://other/shop", password=PASSWORD)}, "two")
    assert "connection a: url: mysql://db/shop → mysql://other/shop" in work.push().lines
    assert (spec(database, "a") or {})["url"] == "mysql://other/shop"

    work.commit({"connections/a.yaml": None}, "three")
    assert "connection a removed: mysql" in work.push().lines
    assert names(database) == []


def test_every_process_hears_of_a_push_that_only_changes_one(work: Work, database: Database) -> None:
    work.commit({"connections/a.yaml": connection("a")}, "one")
    with psycopg.connect(database.url, autocommit=True) as listening:
        listening.execute(f"LISTEN {DEPLOYMENTS_CHANGED}")
        work.push()
        assert [heard.channel for heard in listening.notifies(timeout=5, stop_after=1)]


def test_a_plan_tells_before_anything_is_applied(
    work: Work, database: Database, reconciler: Reconciler
) -> None:
    work.commit({"connections/a.yaml": connection("a")}, "one")
    work.push()
    work.git("switch", "--quiet", "-c", "next")
    head = work.commit({"connections/a.yaml": connection("a", user="shop")}, "two")
    said = work.push("next")
    assert any("connection a: user added: shop" in line for line in said.lines)
    plan = reconciler.plan("default", None, head)
    assert plan.as_json()["connections"] == [
        {"path": "connections.a.user", "from": None, "to": "shop", "text": "connection a: user added: shop"}
    ]
    assert "connection a: user added: shop" in plan.as_text()
    assert "connection a: user added: shop" in plan.as_markdown()
    assert reconciler.plan("default", head, head).as_json()["connections"] == []
    assert spec(database, "a") == {"type": "mysql", "url": "mysql://db/shop"}


def test_one_that_cannot_be_used_any_more_stays_as_it_was(
    work: Work, database: Database, reconciler: Reconciler
) -> None:
    work.commit({"connections/a.yaml": connection("a"), "connections/b.yaml": connection("b")}, "one")
    work.push()
    for broken in (connection("a", password="hunter2"), "kind: ["):
        work.commit(
            {"connections/a.yaml": broken, "connections/b.yaml": connection("b", "mysql://c/d")},
            "x",
        )
        assert work.push().refused
        work.server_git("fetch", "--quiet", str(work.folder), "+main:main")
        reconciler.reconcile("default")
        assert spec(database, "a") == {"type": "mysql", "url": "mysql://db/shop"}
        assert (spec(database, "b") or {})["url"] == "mysql://c/d"
    work.commit({"connections/a.yaml": None}, "gone")
    work.push()
    assert names(database) == ["b"]


@pytest.mark.parametrize("change", [None, connection("b"), "apiVersion: weft/v1\n"])
def test_a_connection_in_use_cannot_go(work: Work, change: str | None) -> None:
    using = pattern("hello", "one").replace(
        "  nodes:\n", "  nodes:\n    - {id: rows, uses: sql, with: {connection: a, query: SELECT 1}}\n"
    )
    assert "uses: sql" in using
    work.commit({"patterns/hello.yaml": using, "connections/a.yaml": connection("a")}, "one")
    assert not work.push().refused
    work.commit({"connections/a.yaml": change}, "two")
    outcome = work.push()
    assert outcome.refused
    if change is None or "kind" in change:
        [problem] = outcome.problems
        assert (problem.code, problem.path) == ("unknown-connection", "patterns/hello.yaml")


def test_a_rebuild_has_the_same_connections(work: Work, database: Database, reconciler: Reconciler) -> None:
    work.commit({"connections/a.yaml": connection("a")}, "one")
    work.push()
    with database.connection() as c:
        c.execute("DELETE FROM connections")
    reconciler.rebuild("default")
    assert names(database) == ["a"]
