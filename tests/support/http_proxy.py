"""A reverse proxy as people put one in front: speaks to the service under another host, and says who called."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

FORWARDED_FROM = "203.0.113.9"


@contextmanager
def proxy_before(address: str, public: str) -> Iterator[str]:
    """`address`: host:port behind it; `public`: the host that callers believe to speak to. Gives its host:port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1

        def log_message(self, *_: object) -> None:
            pass

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            behind = http.client.HTTPConnection(address, timeout=30)
            kept = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("host", "connection")
            }
            said = {
                "Host": "backend.internal",
                "X-Forwarded-For": FORWARDED_FROM,
                "X-Forwarded-Proto": "https",
                "X-Forwarded-Host": public,
            }
            behind.request(self.command, self.path, body, kept | said)
            answer = behind.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("content-length", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            behind.close()

        do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
