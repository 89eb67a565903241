"""Large values in S3: real requests of the real client, to a small server that speaks the protocol."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from store.blobs import BlobMissing, Blobs, BlobsUnavailable
from store.s3_blobs import S3Address, open_blobs

CONTENT = b'{"rows":[' + b"1," * 200_000 + b"1]}"
KEY = hashlib.sha256(CONTENT).hexdigest()


class S3Site:
    """PUT, GET and HEAD of objects. `status` is what it answers to everything, if not 0."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.seen: list[tuple[str, str]] = []
        self.signed: list[str] = []
        self.status = 0
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(site) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def handle_expect_100(self) -> bool:
                self.send_response_only(100)
                self.end_headers()
                self.wfile.flush()
                return True

            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                self._note()
                if not site.status:
                    site.objects[self.path] = content
                self._answer(site.status or 200, b"")

            def do_GET(self) -> None:
                self._note()
                if site.status:
                    self._answer(site.status, _error("InternalError"))
                elif self.path in site.objects:
                    self._answer(200, site.objects[self.path])
                else:
                    self._answer(404, _error("NoSuchKey"))

            do_HEAD = do_GET  # noqa: N815

            def _note(self) -> None:
                site.seen.append((self.command, self.path))
                site.signed.append(self.headers["authorization"])

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Site]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    site = S3Site()
    yield site
    site.close()


@pytest.fixture
def blobs(site: S3Site) -> Blobs:
    return open_blobs("s3://some-bucket/weft/blobs/", endpoint=site.url)


def test_what_is_put_can_be_got_by_the_hash_of_its_content(site: S3Site, blobs: Blobs) -> None:
    assert not blobs.exists(KEY)
    assert blobs.put(CONTENT) == KEY
    assert site.objects == {f"/some-bucket/weft/blobs/{KEY}": CONTENT}
    assert blobs.get(KEY) == CONTENT
    assert blobs.exists(KEY)
    assert all("Credential=someone/" in signature for signature in site.signed)


def test_the_same_content_is_sent_once(site: S3Site, blobs: Blobs) -> None:
    for _ in range(3):
        blobs.put(CONTENT)
    assert [method for method, _ in site.seen] == ["HEAD", "PUT", "HEAD", "HEAD"]


def test_many_threads_share_it(blobs: Blobs) -> None:
    with ThreadPoolExecutor(8) as pool:
        contents = [b"%d" % number * 1000 for number in range(40)]
        keys = list(pool.map(blobs.put, contents))
        assert list(pool.map(blobs.get, keys)) == contents


def test_a_blob_that_is_not_there_is_missing(blobs: Blobs) -> None:
    with pytest.raises(BlobMissing, match="the blob is not in s3://some-bucket/weft/blobs/"):
        blobs.get(KEY)


def test_a_blob_that_is_not_what_was_stored_is_no_value(site: S3Site, blobs: Blobs) -> None:
    blobs.put(CONTENT)
    site.objects[f"/some-bucket/weft/blobs/{KEY}"] = CONTENT[:-1]
    with pytest.raises(BlobMissing, match=f"the blob {KEY} is broken"):
        blobs.get(KEY)


def test_a_service_that_refuses_is_unavailable(site: S3Site, blobs: Blobs) -> None:
    site.status = 403
    with pytest.raises(
        BlobsUnavailable, match=r"s3://some-bucket/weft/blobs/ cannot be read: .*InternalError"
    ):
        blobs.get(KEY)
    with pytest.raises(BlobsUnavailable, match="403"):
        blobs.put(CONTENT)


def test_a_service_that_is_away_is_unavailable(site: S3Site) -> None:
    blobs = open_blobs("s3://some-bucket", endpoint="http://127.0.0.1:1")
    with pytest.raises(BlobsUnavailable, match="cannot be read: Could not connect"):
        blobs.get(KEY)


@pytest.mark.parametrize(
    ("text", "bucket", "prefix"),
    [("s3://abc", "abc", ""), ("s3://abc/", "abc", ""), ("s3://a.b-c/x/y/", "a.b-c", "x/y/")],
)
def test_an_address_is_a_bucket_and_a_prefix(text: str, bucket: str, prefix: str) -> None:
    assert S3Address.parse(text) == S3Address(bucket=bucket, prefix=prefix)


@pytest.mark.parametrize("text", ["s3://", "s3://a", "s3://A_B", "s3:abc", "http://abc", "s3://abc?x=1"])
def test_anything_else_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address such as s3://bucket/prefix"):
        S3Address.parse(text)
