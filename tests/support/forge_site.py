"""A forge as its REST API looks from outside: GitHub, GitLab or Gitea, with one repository.

It refuses what the real one refuses (no token, unknown paths, wrong fields, statuses that cannot change), pages its
lists, and keeps what was asked. `failures` are answers that it gives first, one for each request that they match.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "token-of-the-bot"
BOT = "weft-bot"
API = {"github": "/api/v3", "gitlab": "/api/v4", "gitea": "/api/v1"}
AUTHORISATION = {
    "github": ("Authorization", f"Bearer {TOKEN}"),
    "gitlab": ("PRIVATE-TOKEN", TOKEN),
    "gitea": ("Authorization", f"token {TOKEN}"),
}
STATES = {
    "github": {"error", "failure", "pending", "success"},
    "gitlab": {"pending", "running", "success", "failed", "canceled", "skipped"},
    "gitea": {"pending", "success", "error", "failure", "warning"},
}


@dataclass
class Failure:
    """The answer to the next request whose method and path match (`POST .*comments`)."""

    match: str
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=lambda: {"message": "Server Error"})
    after: Callable[[], None] | None = None  # first done as asked, then this happens instead of an answer
    meanwhile: Callable[[], None] | None = None  # done as asked, and this happens before the answer is there


@dataclass
class Pull:
    head: str
    base: str = "main"
    open: bool = True


class ForgeSite:
    def __init__(self, kind: str, repository: str = "acme/flows") -> None:
        self.kind = kind
        self.repository = repository
        self.pulls: dict[int, Pull] = {}
        self.comments: list[dict[str, Any]] = []  # id, number, author, body
        self.statuses: list[dict[str, Any]] = []  # commit, state, description
        self.requests: list[str] = []
        self.failures: list[Failure] = []
        self.is_app = False  # the token is an app's, which is no user
        self.app = f"{BOT}[bot]"
        self.page = 3  # items of one page, at most
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> ForgeSite:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The upstream's URL."""
        return f"http://127.0.0.1:{self.port}/{self.repository}.git"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}{API[self.kind]}"

    def said(self, author: str, body: str, number: int = 1) -> dict[str, Any]:
        """Somebody comments."""
        comment = {"id": 1000 + len(self.comments), "number": number, "author": author, "body": body}
        self.comments.append(comment)
        return comment

    def of_bot(self, number: int = 1) -> list[str]:
        return [one["body"] for one in self.comments if (one["author"], one["number"]) == (BOT, number)]

    def status(self, commit: str) -> tuple[str, str]:
        """State and description of the newest."""
        found = [one for one in self.statuses if one["commit"] == commit]
        return found[-1]["state"], found[-1]["description"]

    def asked(self, method: str) -> int:
        return sum(one.startswith(method) for one in self.requests)

    def asked_for_statuses(self) -> int:
        return sum(one.startswith("POST") and "/statuses/" in one for one in self.requests)

    def _handler(site) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per answer: otherwise Nagle and delayed acknowledgements cost 40 ms

            def do(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                answer = site._answer(self.command, self.path, dict(self.headers), body)
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, value = answer
                text = json.dumps(value).encode()
                self.send_response(status)
                for name, one in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, one)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_PUT = do  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _answer(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, dict[str, str], Any] | None:
        self.requests.append(f"{method} {path}")
        failure = next((one for one in self.failures if re.match(one.match, f"{method} {path}")), None)
        if failure is not None:
            self.failures.remove(failure)
            if failure.meanwhile is not None:
                answer = self._right(method, path, headers, body)
                failure.meanwhile()
                return answer
            if failure.after is None:
                return failure.status, failure.headers, failure.body
            self._right(method, path, headers, body)
            failure.after()
            return None
        return self._right(method, path, headers, body)

    def _right(
        self, method: str, path: str, headers: dict[str, str], body: Any
    ) -> tuple[int, dict[str, str], Any]:
        url = urlsplit(path)
        name, value = AUTHORISATION[self.kind]
        if headers.get(name) != value:
            return 401, {}, {"message": "401 Unauthorized" if self.kind == "gitlab" else "Bad credentials"}
        if "user-agent" not in {key.lower() for key in headers}:
            return 403, {}, {"message": "Request forbidden by administrative rules."}
        for known, handle in self._routes():
            found = re.fullmatch(re.escape(API[self.kind]) + known, url.path)
            if found and handle[0] == method:
                return handle[1](*found.groups(), body, parse_qs(url.query))
        return 404, {}, {"message": "Not Found"}

    def _routes(self) -> Iterator[tuple[str, tuple[str, Callable[..., Any]]]]:
        yield "/user", ("GET", self._user)
        if self.kind == "gitlab":
            at = f"/projects/{re.escape(self.repository.replace('/', '%2F'))}"
            yield at + r"/merge_requests", ("GET", self._open_ones)
            yield at + r"/merge_requests/(\d+)", ("GET", self._pull)
            yield at + r"/merge_requests/(\d+)/notes", ("GET", self._list)
            yield at + r"/merge_requests/(\d+)/notes", ("POST", self._add)
            yield at + r"/merge_requests/\d+/notes/(\d+)", ("PUT", self._edit)
        else:
            at = f"/repos/{re.escape(self.repository)}"
            yield at + r"/pulls", ("GET", self._open_ones)
            yield at + r"/pulls/(\d+)", ("GET", self._pull)
            yield at + r"/issues/(\d+)/comments", ("GET", self._list)
            yield at + r"/issues/(\d+)/comments", ("POST", self._add)
            yield at + r"/issues/comments/(\d+)", ("PATCH", self._edit)
        yield at + r"/statuses/([0-9a-f]{40})", ("POST", self._set_status)

    def _user(self, _body: Any, _query: Any) -> Any:
        if self.is_app:
            return 403, {}, {"message": "Resource not accessible by integration"}
        return 200, {}, {"id": 7, "username" if self.kind == "gitlab" else "login": BOT}

    def _pull(self, number: str, _body: Any, _query: Any) -> Any:
        pull = self.pulls.get(int(number))
        if pull is None:
            return 404, {}, {"message": "Not Found"}
        if self.kind == "gitlab":
            state = "opened" if pull.open else "merged"
            shown = {"iid": int(number), "state": state, "sha": pull.head, "target_branch": pull.base}
            return 200, {}, shown
        state = "open" if pull.open else "closed"
        shown = {
            "number": int(number),
            "state": state,
            "head": {"sha": pull.head},
            "base": {"ref": pull.base},
        }
        return 200, {}, shown

    def _open_ones(self, _body: Any, query: dict[str, list[str]]) -> Any:
        assert query["state"] == ["opened" if self.kind == "gitlab" else "open"]
        found = [self._pull(str(number), None, query)[2] for number, pull in self.pulls.items() if pull.open]
        page = int(query["page"][0])
        link = (
            {"link": f'<{self.api}/next?page={page + 1}>; rel="next"'}
            if len(found) > page * self.page
            else {}
        )
        return 200, link, found[(page - 1) * self.page : page * self.page]

    def _list(self, number: str, _body: Any, query: dict[str, list[str]]) -> Any:
        found = [one for one in self.comments if one["number"] == int(number)]
        if self.kind == "gitea":  # it does not page comments
            return 200, {}, [self._shown(one) for one in found]
        size = min(int(query.get("per_page", ["30"])[0]), self.page)
        page = int(query.get("page", ["1"])[0])
        more = len(found) > page * size
        link = {"link": f'<{self.api}/next?page={page + 1}>; rel="next", <{self.api}/first>; rel="first"'}
        return 200, link if more else {}, [self._shown(one) for one in found[(page - 1) * size : page * size]]

    def _add(self, number: str, body: Any, _query: Any) -> Any:
        if not self._fits(body):
            return 422, {}, {"message": "Validation Failed"}
        return 201, {}, self._shown(self.said(BOT, body["body"], int(number)))

    def _edit(self, comment: str, body: Any, _query: Any) -> Any:
        found = [one for one in self.comments if one["id"] == int(comment)]
        if not found:
            return 404, {}, {"message": "Not Found"}
        if not self._fits(body):
            return 422, {}, {"message": "Validation Failed"}
        found[0]["body"] = body["body"]
        return 200, {}, self._shown(found[0])

    def _fits(self, body: Any) -> bool:
        return set(body) == {"body"} and 0 < len(body["body"]) <= 65536

    def _shown(self, one: dict[str, Any]) -> Any:
        if self.kind == "gitlab":
            return {
                "id": one["id"],
                "body": one["body"],
                "author": {"username": one["author"]},
                "system": False,
            }
        app = self.is_app and one["author"] == BOT
        user = {"login": self.app, "type": "Bot"} if app else {"login": one["author"], "type": "User"}
        url = f"http://forge.test/{self.repository}/pull/{one['number']}#issuecomment-{one['id']}"
        return {"id": one["id"], "body": one["body"], "user": user, "html_url": url}

    def _set_status(self, commit: str, body: Any, _query: Any) -> Any:
        name = "name" if self.kind == "gitlab" else "context"
        right = set(body) - {"target_url"} == {"state", "description", name} and body[name] == "weft/plan"
        longest = 255 if self.kind == "gitlab" else 140
        if not right or body["state"] not in STATES[self.kind] or len(body["description"]) > longest:
            return 422, {}, {"message": "Validation Failed"}
        before = [one["state"] for one in self.statuses if one["commit"] == commit]
        if self.kind == "gitlab" and before[-1:] == [body["state"]]:
            said = f"Cannot transition status via :enqueue from :{body['state']}"
            return 400, {}, {"message": {"state": [said]}}
        self.statuses.append(
            {
                "commit": commit,
                "state": body["state"],
                "description": body["description"],
                "url": body.get("target_url"),
            }
        )
        return 201, {}, {"id": len(self.statuses), "state": body["state"]}
