"""A connection from a pushed file to rows in two real databases, and what the pusher reads of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from installation import Installation, installation, live
from tcp_door import tcp_door

from cli.embedded import postgres


def connection(name: str, spec: str) -> str:
    return f"apiVersion: weft/v1\nkind: Connection\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Installation]:
    with installation("--workers", "1", WEFT_SECRET_WAREHOUSE_PASSWORD="not needed") as made:
        yield made


def run(service: Installation, name: str, body: Any) -> dict[str, Any]:
    status, answer = service.request("POST", service.hook(name), body)
    assert status == 202, answer
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found: dict[str, Any] = service.get(f"/api/v1/runs/{answer['run']['id']}")
        if found["status"] not in ("pending", "running", "waiting"):
            return found
        time.sleep(0.02)
    raise AssertionError(found)


def said(service: Installation) -> str:
    """Push what is committed, and give what the server says about it."""
    url = f"http://ada:{service.token}@{service.address}/git/default.git"
    done = subprocess.run(
        ["git", "push", url, "main"], cwd=service.work, capture_output=True, text=True, timeout=60
    )
    return done.stderr


def commit(service: Installation, files: dict[str, str]) -> None:
    for path, text in files.items():
        target = service.work / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    service.git("add", "-A")
    service.git("commit", "-qm", "change")


def test_orders_are_kept_in_a_file_and_counted_in_postgresql(service: Installation) -> None:
    inside = urlsplit(postgres.running_url(service.data) or "")
    folder = parse_qs(inside.query)["host"][0]
    with tcp_door(f"{folder}/.s.PGSQL.5432") as door:
        nodes = """
- id: table
  uses: sql
  with:
    connection: orders
    query: CREATE TABLE IF NOT EXISTS orders (id integer primary key, total real)
- id: keep
  uses: sql
  with:
    connection: orders
    query: INSERT INTO orders (id, total) VALUES (:id, :total) RETURNING id
    params: {id: "${{ trigger.body.id }}", total: "${{ trigger.body.total }}"}
- {id: all, uses: sql, with: {connection: orders, query: "SELECT * FROM orders ORDER BY id"}}
- id: sum
  uses: sql
  with:
    connection: warehouse
    query: "SELECT sum(n)::int AS total, now() > :since AS later FROM unnest(:ids) AS n"
    params: {ids: "${{ nodes.all.rows.map(r, r.id) }}", since: "2026-01-01T00:00:00Z"}
"""
        service.push(
            {
                "weft.yaml": "apiVersion: weft/v1\nkind: Project\nmetadata: {name: shop}\n"
                f'spec: {{network: {{allow: ["localhost:{door.port}"]}}}}\n',
                "connections/orders.yaml": connection("orders", "{type: sqlite, url: 'sqlite:///orders.db'}"),
                "connections/warehouse.yaml": connection(
                    "warehouse",
                    f"type: postgresql\n  url: postgresql://localhost:{door.port}{inside.path}\n"
                    f"  user: {inside.username}\n  password: ${{{{ secrets.WAREHOUSE_PASSWORD }}}}",
                ),
                **live(
                    "intake", nodes, output={key: f"${{{{ nodes.{key} }}}}" for key in ("keep", "all", "sum")}
                ),
            }
        )
        first = run(service, "intake", {"id": 1, "total": 9.5})
        second = run(service, "intake", {"id": 2, "total": 3})

    assert first["status"] == "completed", first["error"]
    assert second["output"]["keep"] == {"rows": [{"id": 2}], "rowCount": 1}
    assert second["output"]["all"]["rows"] == [{"id": 1, "total": 9.5}, {"id": 2, "total": 3.0}]
    assert second["output"]["sum"] == {"rows": [{"total": 3, "later": True}], "rowCount": 1}
    assert (service.data / "databases" / "default" / "orders.db").exists()

    again = run(service, "intake", {"id": 2, "total": 3})
    assert (again["status"], again["error"]["type"]) == ("failed", "sql_error")
    assert again["error"]["message"] == "orders: UNIQUE constraint failed: orders.id"


def test_a_changed_connection_is_used_by_the_next_run_and_the_push_says_so(service: Installation) -> None:
    commit(
        service,
        {"connections/orders.yaml": connection("orders", "{type: sqlite, url: 'sqlite:///second.db'}")},
    )
    assert "connection orders: url: sqlite:///orders.db → sqlite:///second.db" in said(service)
    ended = run(service, "intake", {"id": 2, "total": 3})
    # The first node made the table anew, in another file.
    assert ended["nodes"][2]["output"]["rows"] == [{"id": 2, "total": 3.0}]


def test_a_push_that_takes_away_a_connection_in_use_is_refused(service: Installation) -> None:
    head = service.git("rev-parse", "HEAD").strip()
    service.git("rm", "-q", "connections/orders.yaml")
    commit(service, {})
    answer = said(service)
    assert "patterns/intake.yaml" in answer
    assert "there is no connection 'orders'" in answer
    assert "rejected" in answer
    service.git("reset", "-q", "--hard", head)
