"""A service that speaks the protocol of S3, and checks signatures with botocore, which is not what made them."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS, SECRET, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"


class BucketSite:
    """`objects`: path as it came (percent-encoded) → content and type. `status`: of all answers, if not 0."""

    def __init__(self, buckets: tuple[str, ...] = ("shop",)) -> None:
        self.buckets = buckets
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.seen: list[tuple[str, str]] = []
        self.anonymous = False
        self.status = 0
        self.headers: dict[str, str] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.port = self._server.server_port
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

            def answer(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                site.seen.append((self.command, self.path))
                status, body, headers = site.answer(self.command, self.path, dict(self.headers), content)
                self.send_response(status)
                for name, value in {"content-length": str(len(body)), **headers, **site.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(
        self, method: str, target: str, headers: dict[str, str], content: bytes
    ) -> tuple[int, bytes, dict[str, str]]:
        lower = {name.lower(): value for name, value in headers.items()}
        path = urlsplit(target).path
        if self.status:
            return self.status, _error("InternalError"), {}
        if not self.anonymous and not self._signed(method, target, lower, content):
            return 403, _error("SignatureDoesNotMatch"), {}
        bucket, _, key = path[1:].partition("/")
        if bucket not in self.buckets:
            return 404, _error("NoSuchBucket"), {}
        if not key:
            return 200, self._listing(bucket, dict(parse_qsl(urlsplit(target).query))), {}
        if method == "PUT":
            self.objects[path] = (content, lower.get("content-type", ""))
            return 200, b"", {"ETag": _etag(content)}
        if method == "DELETE":
            self.objects.pop(path, None)
            return 204, b"", {}
        if path not in self.objects:
            return 404, _error("NoSuchKey"), {}
        found, kind = self.objects[path]
        modified = "Wed, 21 Oct 2026 07:28:00 GMT"
        return 200, found, {"ETag": _etag(found), "Content-Type": kind, "Last-Modified": modified}

    def _listing(self, bucket: str, query: dict[str, str]) -> bytes:
        here = f"/{bucket}/"
        sizes = {
            unquote(path.removeprefix(here)): len(content)
            for path, (content, _) in self.objects.items()
            if path.startswith(here)
        }
        prefix, after = query.get("prefix", ""), query.get("start-after", "")
        found = [key for key in sorted(sizes) if key.startswith(prefix) and key > after]
        most = int(query["max-keys"])
        contents = "".join(
            f"<Contents><Key>{escape(quote(key))}</Key><LastModified>2026-10-21T07:28:00.000Z</LastModified>"
            f"<ETag>{escape(_etag(b''))}</ETag>"
            f"<Size>{sizes[key]}</Size></Contents>"
            for key in found[:most]
        )
        more = "true" if len(found) > most else "false"
        return (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>{bucket}</Name>'
            f"<EncodingType>url</EncodingType><IsTruncated>{more}</IsTruncated>{contents}</ListBucketResult>"
        ).encode()

    def _signed(self, method: str, target: str, headers: dict[str, str], content: bytes) -> bool:
        said = headers.get("authorization", "")
        if not said.startswith("AWS4-HMAC-SHA256 "):
            return False
        parts: dict[str, Any] = dict(
            part.strip().split("=", 1) for part in said.removeprefix("AWS4-HMAC-SHA256 ").split(",")
        )
        if headers["x-amz-content-sha256"] != hashlib.sha256(content).hexdigest():
            return False
        signed = {name: headers[name] for name in parts["SignedHeaders"].split(";")}
        request = AWSRequest(method, f"http://{headers['host']}{target}", headers=signed, data=content)
        request.context["timestamp"] = headers["x-amz-date"]
        auth = S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", REGION)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return bool(parts["Signature"] == auth.signature(text, request))


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode()


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


@contextmanager
def bucket_site(**given: Any) -> Iterator[BucketSite]:
    site = BucketSite(**given)
    try:
        yield site
    finally:
        site.close()
