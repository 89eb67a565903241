"""Alive and ready, over real HTTP."""

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from api_site import Site
from no_tls import NO_TLS
from starlette.applications import Starlette

from web.health import Health


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are taken and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def ask(health: Health, *paths: str) -> list[httpx.Response]:
    async def answers() -> list[httpx.Response]:
        transport = httpx.ASGITransport(Starlette(routes=health.routes))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://weft.test", verify=NO_TLS
        ) as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(answers())


def make_health(**parts: Any) -> Health:
    return Health(SimpleNamespace(url=parts["database"]), parts["redis"], parts["git"])  # type: ignore[arg-type]


def test_a_whole_service_is_alive_and_ready_without_a_token(site: Site) -> None:
    with httpx.Client(base_url=site.url, verify=NO_TLS) as client:
        assert client.get("/healthz").json() == {"status": "alive"}
        ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["parts"] == {"database": "ok", "broker": "ok", "repositories": "ok"}


def test_what_is_missing_is_named_and_its_address_is_not(database_url: str, tmp_path: Path) -> None:
    redis = "redis://user:s3cret@127.0.0.1:1/0"
    health = make_health(database=database_url, redis=redis, git=tmp_path / "gone")
    [answer] = ask(health, "/readyz")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["parts"] == {
        "database": "ok",
        "broker": "does not answer",
        "repositories": "folder is missing",
    }
    assert answer.json()["detail"] == "The broker does not answer, the repositories folder is missing."
    assert "s3cret" not in answer.text


def test_parts_that_hang_do_not_make_the_answer_hang(silent: int, tmp_path: Path) -> None:
    health = make_health(
        database=f"postgresql://weft@127.0.0.1:{silent}/weft",
        redis=f"redis://127.0.0.1:{silent}/0",
        git=tmp_path,
    )
    began = time.monotonic()
    first, alive, second = ask(health, "/readyz", "/healthz", "/readyz")
    assert time.monotonic() - began < 2.2
    assert first.elapsed.total_seconds() <= 1
    assert alive.status_code == 200
    for answer in (first, second):
        assert answer.status_code == 503
        assert answer.json()["parts"]["database"] == "does not answer within 0.8 s"
        assert answer.json()["parts"]["broker"].startswith("does not answer")


def test_what_comes_back_is_noticed(site: Site, tmp_path: Path) -> None:
    with httpx.Client(base_url=site.url, verify=NO_TLS) as client:
        tmp_path.rename(tmp_path.with_name("away"))
        assert client.get("/readyz").json()["parts"]["repositories"] == "folder is missing"
        tmp_path.with_name("away").rename(tmp_path)
        assert client.get("/readyz").status_code == 200
