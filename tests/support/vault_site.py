"""A Vault as far as Weft asks one, over its HTTP protocol: tokens, AppRole and Kubernetes logins, a KV engine."""

from __future__ import annotations

import http.server
import itertools
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Reply = tuple[int, dict[str, Any]]
DENIED: Reply = (403, {"errors": ["1 error occurred:\n\t* permission denied\n\n"]})
INVALID: Reply = (403, {"errors": ["permission denied", "invalid token"]})
NOTHING: Reply = (404, {"errors": []})
SEALED: Reply = (503, {"errors": ["Vault is sealed"]})


@dataclass
class Token:
    """`paths` are what it may read the beginnings of; `ttl` in seconds, 0: for ever."""

    paths: tuple[str, ...] = ("",)
    ttl: float = 0.0
    renewable: bool = True
    ends: float = float("inf")

    def renew(self) -> None:
        self.ends = time.monotonic() + self.ttl if self.ttl else float("inf")


class VaultSite:
    """Running until it is closed. `secrets` maps paths below the mount `secret` to fields; None: deleted there."""

    def __init__(self, port: int = 0) -> None:
        self.secrets: dict[str, dict[str, Any] | None] = {}
        self.tokens: dict[str, Token] = {}
        self.roles: dict[
            tuple[str, str], Token
        ] = {}  # (role_id, secret_id), or (role, service account's token)
        self.seen: list[str] = []  # method and path
        self.sealed = False
        self.down = False  # connections end without an answer
        self.delay = 0.0  # seconds before each answer
        self._numbers = itertools.count(1)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def token(self, **how: Any) -> str:
        made = Token(**how)
        made.renew()
        text = f"hvs.{next(self._numbers):024}"
        self.tokens[text] = made
        return text

    def _reply(self, method: str, path: str, token: str, body: dict[str, Any]) -> Reply:
        if self.sealed:
            return SEALED
        if path in ("auth/approle/login", "auth/kubernetes/login"):
            return self._login(path, body)
        held = self.tokens.get(token)
        if held is None or held.ends < time.monotonic():
            return INVALID
        if path == "auth/token/lookup-self":
            left = 0 if held.ends == float("inf") else held.ends - time.monotonic()
            about = {
                "ttl": left,
                "renewable": held.renewable,
                "policies": ["weft"],
                "display_name": "approle",
            }
            return 200, {"data": about}
        if path == "auth/token/renew-self":
            held.renew()
            return 200, {"auth": {"client_token": token, "lease_duration": held.ttl}}
        return self._kv(method, path, held)

    def _login(self, path: str, body: dict[str, Any]) -> Reply:
        kubernetes = "kubernetes" in path
        keys = ("role", "jwt") if kubernetes else ("role_id", "secret_id")
        role = self.roles.get((body[keys[0]], body[keys[1]]))
        if role is None:
            return DENIED if kubernetes else (400, {"errors": ["invalid role or secret ID"]})
        token = self.token(paths=role.paths, ttl=role.ttl)
        return 200, {"auth": {"client_token": token, "lease_duration": role.ttl, "renewable": True}}

    def _kv(self, method: str, path: str, held: Token) -> Reply:
        mount, kind, rest = (*path.split("/", 2), "", "")[:3]
        if mount != "secret":
            return 404, {"errors": [f'no handler for route "{path}". route entry not found.']}
        rest = rest.rstrip("/")
        if not rest.startswith(held.paths):
            return DENIED
        if method == "LIST":
            return self._listed(f"{rest}/")
        found = self.secrets.get(rest)
        if kind != "data" or rest not in self.secrets:
            return NOTHING
        about = {"version": 1, "destroyed": False, "deletion_time": "" if found else "2026-01-01T00:00:00Z"}
        return (200 if found is not None else 404), {"data": {"data": found, "metadata": about}}

    def _listed(self, folder: str) -> Reply:
        below = {path.removeprefix(folder) for path in self.secrets if path.startswith(folder)}
        keys = {
            f"{first}/" if rest else first for first, slash, rest in (key.partition("/") for key in below)
        }
        return (200, {"data": {"keys": sorted(keys)}}) if keys else NOTHING

    def _handler(site) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def handle(self) -> None:
                with suppress(ConnectionError):
                    super().handle()

            def log_message(self, *_: object) -> None:
                pass

            def _any(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length", 0)))
                path = self.path.partition("?")[0].removeprefix("/v1/")
                site.seen.append(f"{self.command} {path}")
                time.sleep(site.delay)
                if site.down:
                    self.close_connection = True
                    return
                token = self.headers.get("X-Vault-Token", "")
                status, said = site._reply(self.command, path, token, json.loads(content or b"{}"))
                answer = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_LIST = _any  # noqa: N815

        return Handler
