"""How an issuer is asked for its keys: over real HTTP, within bounds, and no more often than is good."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from answering_issuers import Answers, answering
from certificates import own_certificate, server_tls
from http_site import Site, json_answer, raw_server, serving, text_answer
from signed_calls import public_jwk

from runner.nodes.network import Target
from web.verification import fetching, jwks
from web.verification.call import Reason, Unverified
from web.verification.fetching import Fetcher
from web.verification.issuers import Issuers
from web.verification.jwks import AGAIN, FLOOR, FRESH, STALE, Keys
from web.verification.sources import FetchError, KeySource

ISSUER = "https://login.example"
SOURCE = KeySource(issuer=ISSUER)
LOCAL = ("127.0.0.0/8", "::1")


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def asking(
    work: Callable[[Keys], Coroutine[Any, Any, Any]], fetcher: Fetcher, clock: Clock | None = None
) -> Any:
    async def run() -> Any:
        keys = Keys(Issuers(fetcher), clock or time.monotonic)
        try:
            return await work(keys)
        finally:
            keys.close()

    return asyncio.run(run())


async def found(keys: Keys, key_id: str | None = "k1", source: KeySource = SOURCE) -> str:
    """`found`, or the reason why there is none."""
    try:
        assert await keys.get(source, (), key_id, "ES256")
    except Unverified as unverified:
        return unverified.reason
    return "found"


async def settled() -> None:
    """What goes on behind has come to its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others)


def test_keys_are_found_where_the_issuer_says_and_asked_for_once() -> None:
    issuer = answering(ISSUER, {"keys": [public_jwk()]})

    async def work(keys: Keys) -> list[str]:
        return [await found(keys), await found(keys), await found(keys, None)]

    assert asking(work, issuer) == ["found"] * 3
    assert issuer.asked == [f"{ISSUER}/.well-known/openid-configuration", f"{ISSUER}/keys"]


def test_an_address_of_the_keys_needs_no_discovery() -> None:
    issuer = Answers({"https://keys.example/a": {"keys": [public_jwk()]}})
    source = KeySource(issuer=ISSUER, jwks_url="https://keys.example/a")
    assert asking(lambda keys: found(keys, source=source), issuer) == "found"


def test_a_path_of_an_issuer_stays_before_the_well_known_one() -> None:
    """OpenID Connect Discovery 1.0, section 4: without the slash at its end."""
    issuer = answering(f"{ISSUER}/realms/a", {"keys": [public_jwk()]})
    discovery = issuer.documents[f"{ISSUER}/realms/a/.well-known/openid-configuration"]
    source = KeySource(issuer=f"{ISSUER}/realms/a/")
    discovery["issuer"] = source.issuer
    assert asking(lambda keys: found(keys, source=source), issuer) == "found"


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://evil.example", "jwks_uri": f"{ISSUER}/keys"}, {"issuer": ISSUER}, [], None],
)
def test_a_discovery_document_that_is_anothers_is_not_believed(document: Any) -> None:
    issuer = answering(ISSUER, {"keys": [public_jwk()]})
    issuer.documents[f"{ISSUER}/.well-known/openid-configuration"] = document
    assert asking(found, issuer) == Reason.NO_KEYS


@pytest.mark.parametrize("document", [{}, [], {"keys": {}}, "keys", None])
def test_what_is_no_set_of_keys_is_none(document: Any) -> None:
    assert asking(found, answering(ISSUER, document)) == Reason.NO_KEYS


def test_many_calls_share_one_look() -> None:
    class Slow(Answers):
        def fetch(self, url: str, allow: tuple[str, ...]) -> Any:
            time.sleep(0.05)
            return super().fetch(url, allow)

    issuer = Slow(answering(ISSUER, {"keys": [public_jwk()]}).documents)

    async def work(keys: Keys) -> list[str]:
        waiting = [asyncio.ensure_future(found(keys)) for _ in range(200)]
        await asyncio.sleep(0.01)
        waiting[0].cancel()  # a caller that hangs up takes nothing away from the others
        return await asyncio.gather(*waiting[1:])

    assert asking(work, issuer) == ["found"] * 199
    assert len(issuer.asked) == 2


def test_the_loop_goes_on_while_an_issuer_is_slow() -> None:
    class Slow(Answers):
        def fetch(self, url: str, allow: tuple[str, ...]) -> Any:
            time.sleep(0.1)
            return super().fetch(url, allow)

    async def work(keys: Keys) -> int:
        asked, turns = asyncio.ensure_future(found(keys)), 0
        while not asked.done():
            await asyncio.sleep(0.001)
            turns += 1
        return turns

    assert asking(work, Slow({})) > 20


def test_a_new_key_is_looked_for_at_once_but_forged_ones_hammer_nobody() -> None:
    clock, issuer = Clock(), answering(ISSUER, {"keys": [public_jwk()]})

    async def work(keys: Keys) -> None:
        assert await found(keys) == "found"
        clock.now += FLOOR
        issuer.documents[f"{ISSUER}/keys"] = {"keys": [public_jwk(kid="k2")]}
        assert await found(keys, "k2") == "found"
        assert await found(keys, "k1") == Reason.UNKNOWN_KEY
        looks = len(issuer.asked)
        for at in range(1000):
            clock.now += (FLOOR - 1) / 1000
            assert await found(keys, f"forged-{at}") == Reason.UNKNOWN_KEY
        assert len(issuer.asked) == looks
        clock.now += 1.5
        assert await found(keys, "forged") == Reason.UNKNOWN_KEY
        assert len(issuer.asked) == looks + 2

    asking(work, issuer, clock)


def test_keys_are_renewed_behind_the_calls() -> None:
    clock, issuer = Clock(), answering(ISSUER, {"keys": [public_jwk()]})

    async def work(keys: Keys) -> None:
        assert await found(keys) == "found"
        clock.now += FRESH
        assert await found(keys) == "found"
        assert len(issuer.asked) == 2
        issuer.documents[f"{ISSUER}/keys"] = {"keys": []}
        clock.now += 1
        assert await found(keys) == "found", "the call does not wait for what is renewed"
        await settled()
        assert await found(keys) == Reason.UNKNOWN_KEY, "and what was withdrawn is gone"

    asking(work, issuer, clock)


def test_while_the_issuer_is_away_its_keys_are_believed_for_an_hour() -> None:
    clock, issuer = Clock(), answering(ISSUER, {"keys": [public_jwk()]})

    async def work(keys: Keys) -> None:
        assert await found(keys) == "found"
        kept, issuer.documents = issuer.documents, {}
        clock.now += STALE
        assert await found(keys) == "found"
        await settled()
        clock.now += 1
        assert await found(keys) == Reason.NO_KEYS
        looks = len(issuer.asked)
        assert await found(keys) == Reason.NO_KEYS
        assert len(issuer.asked) == looks, "it is left alone for a moment"
        issuer.documents = kept
        clock.now += AGAIN
        assert await found(keys) == "found"

    asking(work, issuer, clock)


def test_what_one_project_may_reach_is_none_of_anothers() -> None:
    class Private(Answers):
        def fetch(self, url: str, allow: tuple[str, ...]) -> Any:
            if not allow:
                raise FetchError("not allowed")
            return super().fetch(url, allow)

    issuer = Private(answering(ISSUER, {"keys": [public_jwk()]}).documents)

    async def work(keys: Keys) -> str:
        assert await keys.get(SOURCE, LOCAL, "k1", "ES256")
        return await found(keys)

    assert asking(work, issuer) == Reason.NO_KEYS


def test_issuers_that_nobody_asks_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "_MOST_SOURCES", 2)
    issuer = Answers({f"https://{name}": {"keys": [public_jwk()]} for name in "abc"})

    async def work(keys: Keys) -> None:
        for name in "abcab":
            assert await found(keys, source=KeySource(issuer=name, jwks_url=f"https://{name}")) == "found"

    asking(work, issuer)
    assert issuer.asked == [f"https://{name}" for name in "abcab"]


# Over real connections


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as one:
        yield one


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    one = Fetcher()
    yield one
    one.close()


def test_a_private_issuer_that_the_project_allows_is_asked_over_http(site: Site, fetcher: Fetcher) -> None:
    site.answers["/.well-known/openid-configuration"] = json_answer(
        {"issuer": site.url, "jwks_uri": f"{site.url}/keys"}
    )
    site.answers["/keys"] = json_answer({"keys": [public_jwk()]})

    async def work(keys: Keys) -> Any:
        return await keys.get(KeySource(issuer=site.url), LOCAL, "k1", "ES256")

    assert len(asking(work, fetcher)) == 1
    assert [seen["path"] for seen in site.seen] == ["/.well-known/openid-configuration", "/keys"]


def test_no_private_address_is_asked_that_the_project_does_not_allow(site: Site, fetcher: Fetcher) -> None:
    for url in (site.url, f"http://127.0.0.1:{site.port}", f"http://[::ffff:127.0.0.1]:{site.port}"):
        with pytest.raises(FetchError, match=r"private.*network\.allow in weft\.yaml"):
            fetcher.fetch(url, ("10.0.0.0/8", f"localhost:{site.port + 1}"))
        with pytest.raises(FetchError, match=r"private.*network\.allow"):
            fetcher.fetch(url.replace("http:", "https:"), ())
    assert site.seen == []


def test_a_public_address_is_not_asked_over_http(monkeypatch: pytest.MonkeyPatch, fetcher: Fetcher) -> None:
    public = Target(
        family=socket.AF_INET,
        address=ip_address("93.184.216.34"),
        socket_address=("93.184.216.34", 80),
    )
    monkeypatch.setattr(fetching, "targets", lambda _host, _port: [public])
    with pytest.raises(FetchError, match="write https"):
        fetcher.fetch("http://login.example/keys", ("93.184.216.34/32", "login.example:80", "0.0.0.0/0"))


def test_a_redirect_is_no_document(site: Site, fetcher: Fetcher) -> None:
    site.answers["/a"] = (302, {"Location": f"{site.url}/b"}, b"")
    with pytest.raises(FetchError, match="status 302"):
        fetcher.fetch(f"{site.url}/a", LOCAL)
    assert [seen["path"] for seen in site.seen] == ["/a"]


def test_a_document_is_json_of_a_bounded_size(site: Site, fetcher: Fetcher) -> None:
    site.answers["/large"] = text_answer(b'"' + b"a" * fetching.LARGEST + b'"')
    site.answers["/html"] = text_answer(b"<html>sign in</html>")
    site.answers["/error"] = (500, {}, b"secret details")
    for path, reason in {
        "/large": "larger than 524,288",
        "/html": "no address of a JSON",
        "/error": "500",
    }.items():
        with pytest.raises(FetchError, match=reason) as caught:
            fetcher.fetch(site.url + path, LOCAL)
        assert "secret details" not in str(caught.value)


def test_an_issuer_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch, fetcher: Fetcher) -> None:
    monkeypatch.setattr(fetching, "LIMIT", 0.3)

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            connection.sendall(b" ")
            time.sleep(0.02)

    with raw_server(drip) as url:
        begun = time.monotonic()
        with pytest.raises(FetchError, match="no answer within"):
            fetcher.fetch(url, LOCAL)
        assert time.monotonic() - begun < 2


def test_a_fetch_that_is_under_way_ends_when_the_service_stops() -> None:
    fetcher = Fetcher()
    with raw_server(lambda connection: time.sleep(0.5)) as url:
        threading.Timer(0.1, fetcher.close).start()
        with pytest.raises(FetchError, match="the service stops"):
            fetcher.fetch(url, LOCAL)


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "https://a b", "//a", "https://[", "https://a:0", "x"]
)
def test_what_is_no_address_is_not_asked(url: str, fetcher: Fetcher) -> None:
    with pytest.raises(FetchError):
        fetcher.fetch(url, LOCAL)


def test_a_rule_of_the_network_that_is_wrong_is_told(fetcher: Fetcher) -> None:
    with pytest.raises(FetchError, match="nonsense"):
        fetcher.fetch("https://localhost/a", ("nonsense",))


def test_a_certificate_has_to_be_trusted(
    tmp_path: Path, fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = own_certificate(tmp_path)
    with serving(server_tls(certificate)) as site:
        site.answers["/keys"] = json_answer({"keys": []})
        with pytest.raises(FetchError, match="certificate is not trusted"):
            fetcher.fetch(f"{site.url}/keys", LOCAL)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        trusting = Fetcher()
        assert trusting.fetch(f"{site.url}/keys", LOCAL) == {"keys": []}
        trusting.close()


def test_a_server_that_speaks_no_http_is_told(fetcher: Fetcher) -> None:
    with raw_server(lambda connection: connection.sendall(b"220 mail\r\n")) as url, pytest.raises(FetchError):
        fetcher.fetch(url, LOCAL)
    with raw_server(lambda connection: None) as url, pytest.raises(FetchError):
        fetcher.fetch(url.replace("http:", "https:"), LOCAL)
