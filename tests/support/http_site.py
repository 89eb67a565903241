"""Web servers of a test's own, and an `http` node that asks them."""

from __future__ import annotations

import base64
import http.server
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from runner.nodes.base import Connections, NodeContext, NodeError
from runner.nodes.http import HttpNode

Answer = tuple[int, dict[str, str], bytes]
Seen = dict[str, Any]


def text_answer(content: bytes, content_type: str = "text/plain", **headers: str) -> Answer:
    return 200, {"Content-Type": content_type, **headers}, content


def json_answer(value: Any, **headers: str) -> Answer:
    return 200, {"Content-Type": "application/json", **headers}, json.dumps(value).encode()


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # with the default, 5, many connections at once wait a second for each other


class Site:
    """A web server on a port of its own. `answers` maps a path to what it answers; others are told what came."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Answer | Callable[[Seen], Answer]] = {}
        self.seen: list[Seen] = []
        self.connections: set[tuple[str, int]] = set()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(site) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per answer: otherwise Nagle and delayed acknowledgements cost 40 ms

            def handle(self) -> None:
                with suppress(ConnectionError, ssl.SSLError):
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

            def _any(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                site.connections.add(self.client_address)
                path, _, query = self.path.partition("?")
                headers = {name.lower(): value for name, value in self.headers.items()}
                seen = {"method": self.command, "path": path, "query": query, "headers": headers}
                seen |= {
                    "body": content.decode("utf-8", "replace"),
                    "base64": base64.b64encode(content).decode(),
                }
                site.seen.append(seen)
                answer = site.answers.get(path, json_answer(seen))
                status, headers, body = answer(seen) if callable(answer) else answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _any  # noqa: N815

        return Handler


class Held(dict[str, Any]):
    """Assets, or connections."""

    def read(self, path: str) -> bytes:
        if path not in self:
            raise NodeError("missing_asset", f"{path} is not frozen", retryable=False)
        return bytes(self[path])

    def get(self, name: str, *types: str) -> Mapping[str, Any]:  # type: ignore[override]
        assert types == ("http",)
        if name not in self:
            raise NodeError("no_connection", f"there is no connection {name}", retryable=False)
        return dict(self[name])

    def limit(self, name: str) -> None:
        return None


@dataclass(kw_only=True)
class Surrounding(NodeContext):
    connections: Connections


@dataclass
class Sender:
    """Calls the node as a worker does. What may differ from node to node are attributes."""

    node: HttpNode
    assets: dict[str, bytes] = field(default_factory=dict)
    connections: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)

    def __call__(
        self,
        url: str | None = None,
        *,
        timeout: float = 10,
        cancelled: threading.Event | None = None,
        allow: tuple[str, ...] = ("127.0.0.0/8", "::1"),
        **inputs: Any,
    ) -> Any:
        context = Surrounding(
            run_id="r1",
            path="ask",
            attempt=1,
            idempotency_key="run-1/ask",
            remaining=lambda: timeout,
            cancelled=cancelled or threading.Event(),
            log=lambda level, message, **_: self.log.append((level, message)),
            assets=Held(self.assets),
            version_id="v1",
            network=allow,
            connections=Held(self.connections),
        )
        return self.node(context, inputs if url is None else {"url": url, **inputs})

    def error(self, url: str | None = None, **options: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(url, **options)
        return caught.value


@contextmanager
def sending() -> Iterator[Sender]:
    node = HttpNode()
    try:
        yield Sender(node)
    finally:
        node.close()


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site(tls)
    try:
        yield site
    finally:
        site.close()


@contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does with each connection what `serve` says. Gives its url."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    try:
                        serve(connection)
                    except OSError:
                        continue

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()
