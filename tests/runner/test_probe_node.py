"""The `probe` node: what it says of connections that work, and of those that do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bucket_site import ACCESS, REGION, SECRET, bucket_site
from certificates import own_certificate, server_tls
from http_site import serving, text_answer
from mail_server import mail_server
from node_contexts import GivenConnections, node_context
from tcp_door import tcp_door

from cli.embedded.valkey import Valkey
from runner.nodes.base import NodeError
from runner.nodes.kinds import Kinds
from schemas.connection import TYPES_OF_NODES, ConnectionType
from schemas.errors import ERROR_TYPES
from schemas.shape import schema_documents


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinds]:
    made = Kinds(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


class Prober:
    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds

    def __call__(self, spec: dict[str, Any], **around: Any) -> Any:
        context = node_context(GivenConnections({"it": spec}), **around)
        found: Any = self.kinds.handlers["probe"](context, {"connection": "it"})
        assert found.pop("latencyMs") > 0
        return found

    def error(self, spec: dict[str, Any], **around: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(spec, **around)
        assert caught.value.type in ERROR_TYPES
        assert caught.value.type in schema_documents()["nodes/probe"]["x-errors"]
        return caught.value


@pytest.fixture
def probe(kinds: Kinds) -> Prober:
    return Prober(kinds)


def test_every_type_has_one(kinds: Kinds) -> None:
    assert set(kinds._probes()) == set(ConnectionType) == set(TYPES_OF_NODES["probe"])


def test_a_file_of_sqlite_is_opened(probe: Prober) -> None:
    found = probe({"type": "sqlite", "url": "sqlite:///orders.db"})
    assert found.pop("server").startswith("SQLite 3.")
    assert found == {"type": "sqlite", "address": "orders.db", "tls": None}


@pytest.mark.parametrize("status", [200, 204, 301, 401, 403, 404, 429])
def test_every_answer_below_500_shows_that_a_service_is_there(probe: Prober, status: int) -> None:
    with serving() as site:
        site.answers["/api"] = (status, {"Location": "http://nobody.invalid/"}, b"")
        found = probe({"type": "http", "url": f"http://ada:s3cret@localhost:{site.port}/api?token=s3cret"})
        assert found["address"] == f"{site.url}/api"
        assert found["status"] == status
        assert "s3cret" not in str(found)
        assert {seen["method"] for seen in site.seen} == ({"HEAD", "GET"} if status == 404 else {"HEAD"})


def test_a_service_that_fails_or_is_away_is_an_error(probe: Prober) -> None:
    with serving() as site:
        site.answers["/"] = (503, {}, b"")
        error = probe.error({"type": "http", "url": site.url})
        assert (error.type, error.retryable) == ("http_status", True)
        site.answers["/"] = lambda seen: (405 if seen["method"] == "HEAD" else 200, {}, b"yes")
        assert probe({"type": "http", "url": site.url})["status"] == 200
        site.answers["/"] = text_answer(b"x" * 2_000_000)
        assert probe({"type": "http", "url": site.url})["status"] == 200
        assert probe.error({"type": "http", "url": site.url}, allow=()).type == "blocked_address"
    assert probe.error({"type": "http", "url": "http://localhost:1"}).type == "connection"


def test_a_mail_server_is_greeted_and_signed_in_to_and_gets_no_message(probe: Prober) -> None:
    with mail_server(accounts={"shop": "s3cret"}) as server:
        spec = {"type": "smtp", "url": f"smtp://localhost:{server.port}", "starttls": False, "user": "shop"}
        found = probe({**spec, "password": "s3cret"})
        assert found.pop("server")
        assert found == {"type": "smtp", "address": f"localhost:{server.port}", "tls": None}
        assert [said.split()[0] for said in server.said] == ["EHLO", "AUTH", "NOOP", "QUIT"]
        assert server.received == []
        error = probe.error({**spec, "password": "wrong"})
        assert (error.type, "password" in error.hint) == ("email_rejected", True)
        assert probe.error({**spec, "starttls": True, "password": "s3cret"}).type == "tls"


def test_a_mail_server_is_reached_through_tls(
    probe: Prober, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = own_certificate(tmp_path)
    with mail_server(tls=server_tls(certificate)) as server:
        spec = {"type": "smtp", "url": f"smtp://localhost:{server.port}"}
        assert probe.error(spec).type == "tls"
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert probe(spec)["tls"] == "TLSv1.3"


def test_a_redis_is_pinged(probe: Prober, valkey: Valkey) -> None:
    with tcp_door(str(valkey.socket)) as door:
        found = probe({"type": "redis", "url": f"redis://localhost:{door.port}/3"})
        assert found.pop("server").split()[0] in ("valkey", "redis")
        assert found == {"type": "redis", "address": f"localhost:{door.port}/3", "tls": None}
        wrong = {
            "type": "redis",
            "url": f"redis://localhost:{door.port}/3",
            "password": "wrong",
            "user": "nobody",
        }
        assert probe.error(wrong).type == "redis_error"
    assert probe.error({"type": "redis", "url": f"redis://localhost:{door.port}"}).type == "connection"


def test_a_bucket_is_listed(probe: Prober) -> None:
    with bucket_site() as site:
        spec = {
            "type": "s3", "url": "s3://shop/orders", "endpoint": site.url, "region": REGION, "accessKey": ACCESS,
            "secretKey": SECRET,
        }  # fmt: skip
        found = probe(spec)
        assert found.pop("server")
        assert found == {"type": "s3", "address": f"{site.url}/shop/orders/", "tls": None}
        assert probe.error({**spec, "secretKey": "wrong"}).type == "s3_denied"
        assert probe.error({**spec, "url": "s3://nowhere"}).type == "s3_not_found"
        assert SECRET not in str(found)
        assert {method for method, _ in site.seen} == {"GET"}
