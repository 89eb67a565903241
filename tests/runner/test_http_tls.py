"""Whom an `http` node trusts, and as whom it shows itself, against real TLS servers."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from http_site import Sender, Site, sending, serving


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """An authority, what it signed for a server called localhost and for a client, and a server's own."""

    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / name).read_text()

    def server(self, name: str = "server") -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context


def openssl(folder: Path, command: str) -> None:
    subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("tls")
    new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(folder, f"req -x509 {new} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")
    openssl(
        folder,
        f"req -x509 {new} -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost "
        "-keyout own.key -out own.pem",
    )
    names = {
        "server": "DNS:localhost",
        "client": "DNS:weft",
        "named": "DNS:api.internal",
        "numbered": "IP:127.0.0.1",
    }
    for name, alternative in names.items():
        (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        openssl(folder, f"req {new} -subj /CN={name} -keyout {name}.key -out {name}.csr")
        signed = f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        openssl(folder, f"{signed} -extfile {name}.ext -out {name}.pem")
    openssl(folder, "ec -in client.key -aes128 -passout pass:x -out locked.key")
    return Certificates(folder=folder)


@pytest.fixture
def secure(certificates: Certificates) -> Iterator[Site]:
    with serving(certificates.server()) as site:
        yield site


@pytest.fixture
def selfsigned(certificates: Certificates) -> Iterator[Site]:
    with serving(certificates.server("own")) as site:
        yield site


@pytest.fixture
def mutual(certificates: Certificates) -> Iterator[Site]:
    """Wants a certificate of the client."""
    context = certificates.server()
    context.load_verify_locations(certificates.folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with serving(context) as site:
        yield site


@pytest.fixture
def send() -> Iterator[Sender]:
    with sending() as sender:
        yield sender


# Whom it trusts


def test_a_certificate_that_nobody_trusts_is_refused(send: Sender, selfsigned: Site) -> None:
    error = send.error(f"{selfsigned.url}/x?secret")
    assert (error.type, error.retryable) == ("tls", False)
    assert error.message == f"GET {selfsigned.url}/x: its certificate is not trusted: self-signed certificate"
    assert "`tls: {ca: …}`" in error.hint
    assert "SSL_CERT_FILE" in error.hint
    assert selfsigned.seen == []


def test_the_environment_may_name_other_authorities(
    send: Sender, selfsigned: Site, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.folder / "own.pem"))
    for n in range(3):
        assert send(selfsigned.url, method="POST", body="x" * 300_000)["status"] == 200, n
    assert len(selfsigned.connections) == 1


def test_a_node_may_name_another_authority(send: Sender, secure: Site, certificates: Certificates) -> None:
    assert send.error(secure.url).type == "tls"
    assert send(secure.url, tls={"ca": certificates.text("ca.pem")})["status"] == 200
    assert send.error(secure.url).type == "tls", "what one node trusts, another does not"


def test_the_authority_may_be_an_asset(send: Sender, secure: Site, certificates: Certificates) -> None:
    send.assets["certificates/ca.pem"] = certificates.text("ca.pem").encode()
    assert send(secure.url, tls={"caFile": "certificates/ca.pem"})["status"] == 200
    assert send.error(secure.url, tls={"caFile": "other.pem"}).type == "missing_asset"


def test_the_name_is_checked(send: Sender, secure: Site, certificates: Certificates) -> None:
    error = send.error(secure.url.replace("localhost", "127.0.0.1"), tls={"ca": certificates.text("ca.pem")})
    assert (error.type, error.retryable) == ("tls", False)
    assert "IP address mismatch" in error.message


def test_another_name_can_be_asked_for(send: Sender, certificates: Certificates) -> None:
    names: list[str | None] = []
    context = certificates.server("named")
    context.sni_callback = lambda _, name, __: names.append(name)  # type: ignore[assignment]
    tls = {"ca": certificates.text("ca.pem")}
    with serving(context) as named:
        assert send.error(named.url, tls=tls).type == "tls"
        assert send(named.url, tls={**tls, "serverName": "api.internal"})["status"] == 200
        assert named.seen[0]["headers"]["host"] == f"localhost:{named.port}"
        assert send.error(named.url, tls={**tls, "serverName": "other.internal"}).type == "tls"
    assert names == ["localhost", "api.internal", "other.internal"]


def test_the_check_can_be_left_out(send: Sender, selfsigned: Site) -> None:
    url = selfsigned.url.replace("localhost", "127.0.0.1")
    assert send(url, tls={"verify": False})["status"] == 200
    assert send.error(url).type == "tls"
    assert send.error(url, tls={"verify": True}).type == "tls"


# As whom it shows itself


def test_a_client_certificate_is_shown(send: Sender, mutual: Site, certificates: Certificates) -> None:
    tls = {"ca": certificates.text("ca.pem")}
    assert send.error(mutual.url, tls=tls).type in ("tls", "connection")
    assert mutual.seen == []
    tls |= {"certificate": certificates.text("client.pem"), "key": certificates.text("client.key")}
    assert send(mutual.url, tls=tls)["status"] == 200
    own = {"certificate": certificates.text("own.pem"), "key": certificates.text("own.key")}
    assert send.error(mutual.url, tls=tls | own).type in ("tls", "connection")
    assert send.error(mutual.url, tls={"ca": tls["ca"]}).type in ("tls", "connection")
    assert len(mutual.seen) == 1


def test_no_key_stays_in_a_file(
    send: Sender, mutual: Site, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    tls = {
        name: certificates.text(file) for name, file in (("certificate", "client.pem"), ("key", "client.key"))
    }
    send(mutual.url, tls=tls | {"ca": certificates.text("ca.pem")})
    send.error(mutual.url, tls=tls | {"key": "-----BEGIN nothing"})
    assert os.listdir(tmp_path) == []


# Elsewhere


def redirecting(site: Site, there: Site) -> str:
    """To the same server under another name."""
    site.answers["/"] = (307, {"Location": there.url.replace("localhost", "127.0.0.1") + "/there"}, b"")
    return site.url


def test_an_unchecked_host_does_not_uncheck_others(send: Sender, site: Site, selfsigned: Site) -> None:
    assert send.error(redirecting(site, selfsigned), tls={"verify": False}).type == "tls"
    site.answers["/"] = (307, {"Location": f"{selfsigned.url}/there"}, b"")
    assert send(site.url, tls={"verify": False})["body"]["path"] == "/there"


def test_the_authority_counts_everywhere(send: Sender, site: Site, certificates: Certificates) -> None:
    with serving(certificates.server("numbered")) as there:
        url = redirecting(site, there)
        assert send(url, tls={"ca": certificates.text("ca.pem")})["body"]["path"] == "/there"
        assert send.error(url).type == "tls"


def test_the_client_certificate_is_for_the_host_of_the_url(
    send: Sender, site: Site, certificates: Certificates
) -> None:
    context = certificates.server("numbered")
    context.load_verify_locations(certificates.folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    files = {"ca": "ca.pem", "certificate": "client.pem", "key": "client.key"}
    tls = {option: certificates.text(file) for option, file in files.items()}
    with serving(context) as there:
        assert send(f"https://127.0.0.1:{there.port}/", tls=tls)["status"] == 200
        assert send.error(redirecting(site, there), tls=tls).type in ("tls", "connection")
        assert [seen["path"] for seen in there.seen] == ["/"]


def test_the_token_address_is_reached_with_the_same_options(
    send: Sender, secure: Site, certificates: Certificates
) -> None:
    answer = json.dumps({"access_token": "t1"}).encode()
    secure.answers["/token"] = (200, {}, answer)
    auth = {"oauth2": {"tokenUrl": f"{secure.url}/token", "clientId": "a", "clientSecret": "b"}}
    sent = send(secure.url, auth=auth, tls={"ca": certificates.text("ca.pem")})["body"]["headers"]
    assert sent["authorization"] == "Bearer t1"
    assert send.error(secure.url, auth=auth).type == "tls"


def test_no_body_goes_from_https_to_http(
    send: Sender, secure: Site, site: Site, certificates: Certificates
) -> None:
    tls = {"ca": certificates.text("ca.pem")}
    secure.answers["/"] = (307, {"Location": f"{site.url}/there"}, b"")
    error = send.error(secure.url, method="POST", json={"a": "secret"}, tls=tls)
    assert (error.type, error.retryable) == ("bad_request", False)
    assert "redirected from https to http" in error.message
    assert site.seen == []
    assert send(secure.url, tls=tls)["body"]["path"] == "/there"
    secure.answers["/"] = (303, {"Location": f"{site.url}/there"}, b"")
    assert send(secure.url, method="POST", json={"a": "secret"}, tls=tls)["body"]["body"] == ""


# How it fails


@pytest.mark.parametrize(
    ("tls", "reason"),
    [
        ("yes", "`tls` must be a mapping"),
        ({"verify": "no"}, "`tls.verify` must be true or false"),
        ({"ca": "hunter2"}, "`tls.ca` or `tls.caFile` holds no certificate"),
        (
            {"ca": "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----"},
            "`tls.ca` or `tls.caFile` holds no certificate",
        ),
        ({"ca": "ä"}, "`tls.ca` or `tls.caFile` holds no certificate"),
        ({"ca": "a", "caFile": "b"}, "only one of `ca` and `caFile`"),
        ({"caFile": "binary.pem"}, "`tls.caFile` holds no certificate"),
        ({"certificate": "a"}, "needs `certificate` and `key` together"),
        ({"certificate": "hunter2", "key": "hunter2"}, "are no pair"),
        ({"serverName": 7}, "`tls.serverName` must be text"),
        ({"insecure": True}, "`tls` takes no 'insecure'"),
    ],
)
def test_options_that_say_nothing_are_refused(send: Sender, tls: Any, reason: str) -> None:
    send.assets["binary.pem"] = b"\xff\xfe"
    error = send.error("https://localhost:1/", tls=tls)
    assert (error.type, error.retryable) == ("bad_request", False)
    assert reason in error.message
    assert "hunter2" not in error.message + error.hint


def test_a_key_that_does_not_fit_or_is_locked_is_refused(send: Sender, certificates: Certificates) -> None:
    for key in ("server.key", "locked.key"):
        tls = {"certificate": certificates.text("client.pem"), "key": certificates.text(key)}
        error = send.error("https://localhost:1/", tls=tls)
        assert (error.type, error.retryable) == ("bad_request", False), key
        assert "unencrypted key" in error.message


def test_a_server_that_speaks_no_tls_is_a_tls_error(send: Sender, site: Site) -> None:
    error = send.error(site.url.replace("http:", "https:"))
    assert (error.type, error.retryable) == ("tls", True)


def test_a_server_that_is_silent_in_the_handshake_is_a_timeout(send: Sender) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        error = send.error(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=0.3)
    assert (error.type, error.retryable) == ("timeout", True)


def test_many_threads_shake_hands_at_once(send: Sender, secure: Site, certificates: Certificates) -> None:
    tls = {"ca": certificates.text("ca.pem")}
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: send(secure.url, tls=tls)["status"], range(60)))
    assert answers == [200] * 60
    assert len(secure.connections) <= 20
