"""Secrets are used in every way there is, against servers that send all of it back; then they are searched for in
all tables, files, logs, answers and in the broker.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.client
import json
import secrets as random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest
from eventually import eventually
from http_site import Answer, Seen, Site, json_answer
from installation import Installation, installation, live, pattern
from mail_server import MailServer, mail_server
from secret_search import Search
from weft_command import WEFT, environment

CANARY = f"canary-{random.token_hex(6)}"
"""No secret: it has to be found wherever a secret would be."""

KEY = f'k3y/+"&<\\ü {random.token_hex(4)}'
TOKEN = f"tok_{random.token_urlsafe(24)}"
PASSWORD = f"correct horse {random.token_hex(4)}"
PIN = str(random.randbelow(10**9) + 10**9)
PEM = (
    "-----BEGIN KEY-----\n" + "".join(f"{random.token_hex(30)}+/=\n" for _ in range(12)) + "-----END KEY-----"
)
VARIABLE = f"from-the-environment-{random.token_hex(6)}"
STORED = {"KEY": KEY, "TOKEN": TOKEN, "PASSWORD": PASSWORD, "PIN": PIN, "PEM": PEM}
DERIVED = [
    hashlib.sha256(KEY.encode()).hexdigest(),
    base64.b64encode(f"user:{PASSWORD}".encode()).decode(),
    TOKEN[4:24],
    TOKEN.upper(),
    TOKEN[::1].split("_")[1],
]
HEAD = "apiVersion: weft/v1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n"

SCRIPT = """
import base64, json, sys
def main(given):
    print("given", given["key"])
    print("x" * 3990 + given["key"])
    print(json.dumps(given), file=sys.stderr)
    print(base64.b64encode(json.dumps(given).encode()).decode())
    if given.get("fail"):
        raise ValueError(f"it is {given!r}")
    return {given["key"]: given, "pin": int(given["pin"]), "large": [given["pem"]] * 300 + ["CANARY"] * 20_000}
"""

USES = """
- id: echo
  uses: http
  with:
    url: SITE/echo
    method: POST
    query: {k: "${{ secrets.KEY }}", c: CANARY}
    headers:
      x-token: "Bearer ${{ secrets.TOKEN }}"
      x-part: "${{ secrets.TOKEN.substring(4, 24) }}"
      x-sum: "${{ sha256(secrets.KEY) }}"
      x-upper: "${{ upper(secrets.TOKEN) }}"
      x-variable: "${{ secrets.VARIABLE }}"
    auth: {basic: {username: user, password: "${{ secrets.PASSWORD }}"}}
    json:
      pem: "${{ secrets.PEM }}"
      pin: "${{ int(secrets.PIN) }}"
      all: "${{ {'k': secrets.KEY, 'c': 'CANARY'} }}"
- {id: packed, uses: http, with: {url: SITE/packed, headers: {x-token: "${{ secrets.TOKEN }}"}}}
- id: form
  uses: http
  with: {url: SITE/echo, method: POST, form: {k: "${{ secrets.KEY }}", pem: "${{ secrets.PEM }}"}}
- {id: away, uses: http, with: {url: "SITE/away?${{ base64(secrets.KEY) }}", query: {k: "${{ secrets.KEY }}"}}}
- id: stays
  uses: http
  with: {url: SITE/away, query: {k: "${{ secrets.KEY }}"}, followRedirects: false, expect: [302]}
- id: refused
  uses: http
  onError: continue
  retry: {attempts: 2, delay: 10ms}
  with: {url: SITE/refused, headers: {x-token: "${{ secrets.TOKEN }}"}, json: "${{ secrets.KEY }}", method: POST}
- {id: nobody, uses: http, onError: continue, with: {url: "http://127.0.0.1:9/${{ secrets.TOKEN }}"}}
- {id: named, uses: http, with: {connection: crm, url: /echo, json: CANARY}}
- id: row
  uses: sql
  with:
    connection: file
    query: "SELECT :k AS k, :pem AS pem"
    params: {k: "${{ secrets.KEY }}", pem: "${{ secrets.PEM }}"}
- id: wrong
  uses: sql
  onError: continue
  with: {connection: file, query: "SELECT json(:k)", params: {k: "${{ secrets.KEY }}"}}
- {id: calls, uses: script, with: {file: scripts/echo.py, input: GIVEN}}
- id: raises
  uses: script
  onError: continue
  with: {file: scripts/echo.py, input: {fail: true, key: "${{ secrets.KEY }}", pem: "${{ secrets.PEM }}"}}
- id: command
  uses: shell
  with:
    command: [sh, -c, 'echo "$K"; echo "$P" >&2; cat; printf %s "$K" | base64; printf "x%s" "$P" | base64']
    env: {K: "${{ secrets.KEY }}", P: "${{ secrets.PEM }}"}
    stdin: "${{ json({'k': secrets.KEY, 't': secrets.TOKEN}) }}"
- id: exits
  uses: shell
  onError: continue
  with: {command: [sh, -c, 'echo "no $K" >&2; exit 3'], env: {K: "${{ secrets.KEY }}"}}
- {id: letter, uses: email, with: {connection: mail, to: a@example.com, subject: Hi, text: "${{ secrets.TOKEN }}"}}
- id: bounced
  uses: email
  onError: continue
  with: {connection: mail, to: "${{ secrets.TOKEN }}@bad.example", subject: Hi, text: x}
- id: each
  uses: for-each
  items: "${{ [1, 2] }}"
  do:
    - {id: one, uses: http, with: {url: SITE/echo, query: {k: "${{ secrets.KEY + string(item) }}"}}}
- {id: copy, uses: set, with: {all: "${{ nodes.echo }}", more: "${{ nodes.row.rows }}", canary: CANARY}}
- {id: said, uses: log, with: {message: "${{ json(nodes.copy) }}", fields: {all: "${{ nodes.calls.pin }}"}}}
- {id: inner, uses: call, with: {pattern: inner, input: "${{ nodes.copy.more }}"}}
""".replace("GIVEN", '{key: "${{ secrets.KEY }}", pin: "${{ secrets.PIN }}", pem: "${{ secrets.PEM }}"}')

FAILS = """
- id: last
  uses: http
  with:
    url: SITE/refused
    method: POST
    headers: {x-token: "${{ secrets.TOKEN }}"}
    json: "${{ secrets.KEY }} CANARY"
"""
INNER = "- {id: again, uses: http, with: {url: SITE/remembers}}\n"
HEARS = '- {id: heard, uses: set, with: {error: "${{ trigger.error }}"}}\n'
TEST = """  pattern: uses
  cases:
    - name: with secrets of its own
      secrets: {TOKEN: tok_of-the-test-which-is-long, PIN: "12"}
      stubs: {echo: 1, packed: 1, form: 1, away: 1, stays: 1, refused: 1, nobody: 1, named: 1, row: {rows: []},
              wrong: 1, calls: {pin: 1}, raises: 1, command: 1, exits: 1, letter: 1, bounced: 1, one: 1, inner: 1}
      expect: {status: completed}
"""


@dataclass
class Scene:
    service: Installation
    site: Site
    mail: MailServer
    said: dict[str, str] = field(default_factory=dict)

    def weft(self, *arguments: str, text: str = "", code: int = 0) -> str:
        """A command; what it prints is kept."""
        done = subprocess.run(
            [*WEFT, *arguments, "--data", str(self.service.data)],
            env=environment(), input=text, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        self.said[f"weft {' '.join(arguments)} #{len(self.said)}"] = done.stdout + done.stderr
        return done.stdout

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """A request; what is answered is kept."""
        status, answer = self.service.request(method, path, body)
        self.said[f"{method} {path} #{len(self.said)}"] = f"{status} {json.dumps(answer, ensure_ascii=False)}"
        return answer

    def follow(self, run: str) -> threading.Thread:
        """The run's events, as they come."""

        def read() -> None:
            headers = {"authorization": f"Bearer {self.service.token}"}
            with closing(http.client.HTTPConnection(self.service.address, timeout=60)) as connection:
                connection.request("GET", f"/api/v1/runs/{run}/events", headers=headers)
                self.said[f"events of {run}"] = connection.getresponse().read().decode()

        thread = threading.Thread(target=read)
        thread.start()
        return thread

    def run(self, name: str, wanted: str) -> str:
        """Start one and follow it to its end. Gives its id."""
        run: str = self.ask("POST", f"/api/v1/deployments/{name}/runs", {"input": {"n": 1}})["id"]
        thread = self.follow(run)
        eventually(
            lambda: self.service.get(f"/api/v1/runs/{run}")["endedAt"] is not None, seconds=60, pause=0.1
        )
        thread.join(30)
        found = self.service.get(f"/api/v1/runs/{run}")
        assert found["status"] == wanted, (found["error"], self.service.log())
        return run


def remembering(site: Site) -> None:
    """What the site answers: all that it was sent, in every way, and what it was sent before."""
    kept: list[Seen] = []

    def echo(seen: Seen) -> Answer:
        kept.append(seen)
        return json_answer(seen, **{"X-Token": seen["headers"].get("x-token", ""), "X-Query": seen["query"]})

    def packed(seen: Seen) -> Answer:
        content = gzip.compress(json.dumps({"token": seen["headers"]["x-token"], "canary": CANARY}).encode())
        return 200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, content

    site.answers["/echo"] = echo
    site.answers["/packed"] = packed
    site.answers["/away"] = lambda seen: (302, {"Location": f"/echo?{seen['query']}"}, seen["query"].encode())
    site.answers["/refused"] = lambda seen: (
        503,
        {},
        f"{CANARY} {seen['headers']['x-token']} {seen['body']}".encode(),
    )
    site.answers["/remembers"] = lambda _: json_answer(
        [one for one in kept if "x-token" in one["headers"]][:1]
    )


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    site = Site()
    remembering(site)
    with (
        mail_server(accounts={"shop": PASSWORD}) as mail,
        installation("--workers", "1", WEFT_SECRET_VARIABLE=VARIABLE, WEFT_LOG="debug,json") as service,
    ):
        mail.answers[f"RCPT TO:<{TOKEN}"] = f"550 no such user {TOKEN}"
        yield Scene(service, site, mail)
    site.close()


def written(scene: Scene) -> dict[str, str]:
    site = scene.site.url
    files = {
        "weft.yaml": HEAD.format(kind="Project", name="shop")
        + f'  network: {{allow: ["localhost:{scene.site.port}", "localhost:{scene.mail.port}", "127.0.0.1:9"]}}\n',
        "connections/crm.yaml": HEAD.format(kind="Connection", name="crm")
        + f"  type: http\n  url: {site}\n  headers: {{x-key: '${{{{ secrets.TOKEN }}}}'}}\n"
        + "  auth: {basic: {username: user, password: '${{ secrets.PASSWORD }}'}}\n",
        "connections/file.yaml": HEAD.format(kind="Connection", name="file")
        + "  type: sqlite\n  url: sqlite:///file.db\n",
        "connections/mail.yaml": HEAD.format(kind="Connection", name="mail")
        + f"  type: smtp\n  url: smtp://localhost:{scene.mail.port}\n  starttls: false\n  user: shop\n"
        + "  password: ${{ secrets.PASSWORD }}\n  from: shop@example.com\n",
        "scripts/echo.py": SCRIPT,
        "tests/uses.yaml": HEAD.format(kind="PatternTest", name="uses") + TEST,
        "patterns/inner.yaml": pattern("inner", INNER, on={"call": {}}),
        **live("uses", USES, output={"all": "${{ nodes.copy }}", "inner": "${{ nodes.inner }}"}),
        **live("fails", FAILS, retry={"attempts": 2, "delay": "10ms"}),
        **live("hears", HEARS, on={"error": {"from": ["fails"]}}),
    }
    return {path: text.replace("SITE", site).replace("CANARY", CANARY) for path, text in files.items()}


def test_of_no_secret_anything_is_left(scene: Scene) -> None:
    for name, value in STORED.items():
        scene.ask("PUT", f"/api/v1/secrets/{name}", {"value": value})
    scene.weft("secret", "set", "KEY", text=KEY)
    scene.service.push(written(scene))
    uses = scene.run("uses", "completed")
    fails = scene.run("fails", "dead_letter")
    test = scene.ask("POST", "/api/v1/patterns/uses/test", {"stubs": {"letter": {"messageId": "none"}}})["id"]
    scene.follow(test).join(60)
    subprocess_test(scene)
    for run in (uses, fails, test):
        scene.weft("log", run)
        detail = scene.ask("GET", f"/api/v1/runs/{run}")
        for node in detail["nodes"]:
            scene.ask(
                "GET",
                f"/api/v1/runs/{run}/output?node={node['path']}".replace("[", "%5B").replace("]", "%5D"),
            )
            if node["childRunId"]:
                scene.ask("GET", f"/api/v1/runs/{node['childRunId']}")
    for path in (
        "runs",
        "dead-letters",
        "secrets",
        "secrets/KEY/uses",
        "deployments",
        "patterns/uses/versions/1",
    ):
        scene.ask("GET", f"/api/v1/{path}")
    scene.weft("secret", "list")
    scene.weft("secret", "uses", "KEY")
    scene.weft("dead-letters")
    scene.weft("secret", "rotate")

    search = Search(scene.service)
    found = search.find([*STORED.values(), VARIABLE, *DERIVED], scene.said)
    assert found == [], "\n".join(f"{place}: {one!r}" for place, one in found)
    show_that_it_was_all_used(scene)
    show_that_a_secret_would_be_found(search, scene)
    show_what_was_used(scene, uses)


def subprocess_test(scene: Scene) -> None:
    done = subprocess.run(
        [*WEFT, "test", str(scene.service.work)], env=environment(), capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    scene.said["weft test"] = done.stdout + done.stderr


def show_that_it_was_all_used(scene: Scene) -> None:
    """The servers got the secrets as they are: else there would have been nothing to find."""
    first = next(seen for seen in scene.site.seen if seen["path"] == "/echo")
    assert first["headers"]["x-token"] == f"Bearer {TOKEN}"
    assert first["headers"]["x-variable"] == VARIABLE
    assert first["headers"]["authorization"] == f"Basic {DERIVED[1]}"
    body = json.loads(first["body"])
    assert body == {"pem": PEM, "pin": int(PIN), "all": {"k": KEY, "c": CANARY}}
    assert scene.mail.received[0].user == "shop"
    assert TOKEN in scene.mail.received[0].content.decode()


def show_that_a_secret_would_be_found(search: Search, scene: Scene) -> None:
    """What is no secret went the same ways, and is there."""
    places = {place for place, _ in search.find([CANARY], scene.said)}
    assert {"public.runs", "public.spans"} <= places
    for part in ("events of ", "weft log ", "GET /api/v1/runs/", "/output?node=", "pg_wal/", "data/blobs/"):
        assert any(part in place for place in places), part


def show_what_was_used(scene: Scene, run: str) -> None:
    listed = scene.ask("GET", "/api/v1/secrets/PASSWORD/uses")["items"]
    assert {one["node"] for one in listed if one["run"] == run} == {"echo", "named", "letter", "bounced"}
    nodes = {node["path"]: node.get("secrets") for node in scene.ask("GET", f"/api/v1/runs/{run}")["nodes"]}
    assert nodes["echo"] == ["KEY", "PASSWORD", "PEM", "PIN", "TOKEN", "VARIABLE"]
    assert (nodes["each[1]/one"], nodes["named"], nodes["copy"]) == (["KEY"], ["PASSWORD", "TOKEN"], None)


def test_what_a_node_gives_is_read_by_others_with_stars(scene: Scene) -> None:
    run = scene.run("uses", "completed")
    output = scene.service.get(f"/api/v1/runs/{run}")["output"]["all"]
    echo = output["all"]["body"]
    assert (echo["headers"]["x-token"], echo["headers"]["x-part"]) == ("Bearer ***", "***")
    canary = f'"c":"{CANARY}"'
    assert echo["body"] == '{"all":{' + canary + ',"k":"***"},"pem":"***","pin":***}'
    assert output["more"] == [{"k": "***", "pem": "***"}]
