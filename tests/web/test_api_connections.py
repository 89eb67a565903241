"""Connections over the API, and `weft connection`: which there are, and whether one works, from a real worker."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import typer
from api_site import ADMIN, Site
from http_site import Site as WebSite
from http_site import serving
from typer.testing import CliRunner, Result

from cli import connections
from cli.errors import CommandError
from store.connections import write_connections

SECRET = "t0ken-of-the-shop"
SHOP = {
    "type": "http",
    "headers": {"X-Api-Key": "${{ secrets.SHOP_KEY }}"},
    "auth": {"bearer": {"token": "${{ secrets.SHOP_TOKEN }}"}},
    "maxConcurrent": 3,
}


@pytest.fixture
def web() -> Iterator[WebSite]:
    with serving() as made:
        yield made


@pytest.fixture
def shop(site: Site, web: WebSite, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("WEFT_SECRET_SHOP_KEY", "k3y-of-the-shop")
    monkeypatch.setenv("WEFT_SECRET_SHOP_TOKEN", SECRET)
    spec = {
        **SHOP,
        "url": f"{web.url}/api?x=1",
        "environments": {"staging": {"url": "http://localhost:1", "headers": {"A": "${{ secrets.OTHER }}"}}},
    }
    with site.database.connection() as connection:
        write_connections(connection, "default", {"shop": spec}, commit="c" * 40)
        write_connections(connection, "elsewhere", {"theirs": spec}, commit="d" * 40)
        allow = '{"network": {"allow": ["127.0.0.0/8", "::1"]}}'
        connection.execute("INSERT INTO repositories (organisation, project) VALUES ('default', %s)", [allow])
    return site


def weft(site: Site, *arguments: str) -> Result:
    app = typer.Typer()
    connections.register(app)
    app.callback()(lambda: None)
    return CliRunner().invoke(
        app, ["connection", *arguments], env={"WEFT_URL": site.url, "WEFT_TOKEN": ADMIN}
    )


def test_the_list_has_names_and_no_values(shop: Site, web: WebSite) -> None:
    [one] = shop.http.get("/connections").json()["items"]
    assert one.pop("appliedAt")
    assert one == {
        "name": "shop",
        "type": "http",
        "keys": ["auth", "headers", "maxConcurrent", "url"],
        "environments": {"staging": ["headers", "url"]},
        "secrets": ["OTHER", "SHOP_KEY", "SHOP_TOKEN"],
        "maxConcurrent": 3,
        "commit": "c" * 40,
    }
    assert web.url not in json.dumps(one)
    lines = weft(shop, "list").stdout.splitlines()
    assert lines[1].split() == ["shop", "http", "OTHER,", "SHOP_KEY,", "SHOP_TOKEN", "staging", "3", "c" * 10]


def test_a_test_is_a_run_of_a_worker_that_says_what_it_found(shop: Site, web: WebSite) -> None:
    with shop.worker():
        answer = shop.http.post("/connections/shop/test", json={})
        assert answer.status_code == 202
        run = shop.ended(answer.json()["id"])
        shown = weft(shop, "test", "shop")
    assert (run["status"], run["mode"], run["environment"], run["actor"]) == (
        "completed", "test", "production", "admin",
    )  # fmt: skip
    assert run["output"].pop("latencyMs") > 0
    assert run["output"].pop("server")
    assert run["output"] == {"type": "http", "address": f"{web.url}/api", "tls": None, "status": 200}
    assert {seen["method"] for seen in web.seen} == {"HEAD"}
    assert web.seen[0]["headers"]["authorization"] == f"Bearer {SECRET}"
    assert SECRET not in json.dumps(run)
    assert shown.exit_code == 0, shown
    assert "works" in shown.stdout
    assert f"{web.url}/api" in shown.stdout


def test_a_secret_in_an_address_is_not_told(shop: Site, web: WebSite) -> None:
    secret = "T0/B1/s3cret-path"
    write = {"type": "http", "url": f"{web.url}/services/${{{{ secrets.SHOP_PATH }}}}?x=1"}
    with shop.database.connection() as connection:
        write_connections(connection, "default", {"hook": write}, commit="e" * 40)
    with pytest.MonkeyPatch.context() as patch, shop.worker():
        patch.setenv("WEFT_SECRET_SHOP_PATH", secret)
        run = shop.ended(shop.http.post("/connections/hook/test", json={}).json()["id"])
    assert web.seen[-1]["path"] == f"/services/{secret}"
    assert run["output"]["address"] == f"{web.url}/services/***"
    assert secret not in json.dumps(run)


def test_one_that_does_not_work_says_why_and_ends_with_1(shop: Site) -> None:
    with shop.worker():
        shown = weft(shop, "test", "shop", "--environment", "staging")
        told = weft(shop, "test", "shop", "--environment", "staging", "--json")
    assert shown.exit_code == 1
    assert "unknown_secret" in shown.stdout
    assert "OTHER" in shown.stdout
    found = json.loads(told.stdout)
    assert (found["works"], found["error"]["type"], told.exit_code) == (False, "unknown_secret", 1)


def test_who_may_test_what(shop: Site) -> None:
    for role, status in (("viewer", 403), ("editor", 403), ("operator", 202)):
        with shop.client(shop.token(role)) as client:
            assert client.post("/connections/shop/test", json={}).status_code == status
            assert client.get("/connections").status_code == 200
    answer = shop.http.post("/connections/shp/test", json={})
    assert (answer.status_code, "shop" in answer.json()["detail"]) == (404, True)
    assert shop.http.post("/connections/theirs/test", json={}).status_code == 404
    assert shop.http.post("/connections/shop/test", json={"environment": "No!"}).status_code == 422
    result = weft(shop, "test", "nothing")
    assert isinstance(result.exception, CommandError)
    with shop.client(shop.token("viewer", organisation="elsewhere")) as client:
        assert [one["name"] for one in client.get("/connections").json()["items"]] == ["theirs"]
