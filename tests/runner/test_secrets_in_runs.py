"""Runs whose nodes are given secrets: what reaches the outside, what is kept, and who used what."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from http_site import Answer, Seen, Site, json_answer
from running import SECRETS, Running, sweeper, worker

from runner.program import compile_pattern
from schemas.pattern import pattern_from_spec
from store import secret_uses
from store.connections import write_connections
from store.database import Database
from store.secrets import SecretBook

KEY = "k3y/with+signs&more"


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url, connections=4)
    yield made
    made.close()


@pytest.fixture
def book(database: Database) -> Iterator[SecretBook]:
    made = SECRETS.open(database)
    made.stored.put("default", "", "KEY", KEY, by="ada")
    yield made
    made.close()


@pytest.fixture
def running(database: Database, redis_url: str) -> Running:
    return Running(database, redis_url)


def everything(database: Database) -> str:
    """All that runs left in the database."""
    with database.connection() as c:
        tables = ("runs", "spans", "run_events", "dead_letters", "secret_uses", "circuits")
        rows = [str(c.execute(f"SELECT * FROM {table}".encode()).fetchall()) for table in tables]
    return "\n".join(rows)


def http(site: Site, id_: str = "a", path: str = "/", **keys: Any) -> dict[str, Any]:
    with_ = {"url": site.url + path, **keys}
    return {"id": id_, "uses": "http", "with": with_, "retry": {"attempts": 1}}


def allowing(site: Site) -> dict[str, Any]:
    return {"network": {"allow": [f"localhost:{site.port}"]}}


@contextmanager
def leaves_nothing(database: Database, *secrets: str) -> Iterator[None]:
    yield
    left = everything(database)
    for secret in secrets:
        raw = secret.encode()
        for spelled in (secret, base64.b64encode(raw).decode(), json.dumps(secret)[1:-1], raw.hex()):
            assert spelled not in left, spelled


def test_a_server_gets_the_secret_and_what_it_sends_back_is_starred(
    running: Running, site: Site, book: SecretBook
) -> None:
    node = http(
        site,
        query={"key": "${{ secrets.KEY }}"},
        headers={
            "x-auth": "Bearer ${{ base64('u:' + secrets.KEY) }}",
            "x-part": "${{ secrets.KEY.substring(0, 5) }}",
        },
        json={"k": "${{ secrets.KEY }}", "n": 1},
        method="POST",
    )
    running.deploy("p", [node], project=allowing(site))
    with leaves_nothing(running.database, KEY), worker(running):
        run = running.run("p")
    [seen] = site.seen
    assert seen["headers"]["x-auth"] == "Bearer " + base64.b64encode(b"u:" + KEY.encode()).decode()
    assert json.loads(seen["body"]) == {"k": KEY, "n": 1}
    assert run["status"] == "completed"
    body = run["output"]["body"]
    assert body["headers"]["x-auth"] == "Bearer ***"
    assert body["headers"]["x-part"] == "***", "a slice of it is one too"
    assert body["query"] == "key=***"
    assert body["body"] == '{"k":"***","n":1}'


def test_errors_redirects_and_packed_answers_are_starred(
    running: Running, site: Site, book: SecretBook
) -> None:
    def refuse(seen: Seen) -> Answer:
        return 400, {"Content-Type": "text/plain"}, ("x" * 185 + seen["headers"]["x-key"]).encode()

    def pack(seen: Seen) -> Answer:
        content = gzip.compress(json.dumps({"got": seen["headers"]["x-key"]}).encode())
        return 200, {"Content-Type": "application/json", "Content-Encoding": "gzip"}, content

    site.answers["/refuse"] = refuse
    site.answers["/pack"] = pack
    site.answers["/away"] = lambda seen: (302, {"Location": f"/else?{seen['query']}"}, b"")
    nodes = [
        {**http(site, "r", "/refuse", headers={"x-key": "${{ secrets.KEY }}"}), "onError": "continue"},
        http(site, "z", "/pack", headers={"x-key": "${{ secrets.KEY }}"}),
        http(site, "to", "/away", query={"k": "${{ secrets.KEY }}"}),
        http(site, "stays", "/away", query={"k": "${{ secrets.KEY }}"}, followRedirects=False, expect=[302]),
    ]
    running.deploy("p", nodes, project=allowing(site))
    with leaves_nothing(running.database, KEY, KEY[:8]), worker(running):
        run = running.run("p")
    spans = running.spans(run["id"])
    assert run["status"] == "completed", run["error"]
    assert spans["r"]["error"]["message"].endswith("x***"), "cut off within the secret"
    assert spans["z"]["output"]["body"] == {"got": "***"}
    assert spans["to"]["output"]["body"]["query"] == "k=***"
    assert spans["stays"]["output"]["headers"]["location"] == "/else?k=***"


SCRIPT = """
import base64, sys
def main(given):
    print("given", given["key"], flush=True)
    print("x" * 3995 + given["key"])
    sys.stderr.write(base64.b64encode(b"x" + given["key"].encode()).decode() + "\\n")
    if given["fail"]:
        raise ValueError(given["key"])
    return {given["key"]: [given["key"], len(given["key"]), given["order"]]}
"""


def test_scripts_and_commands_are_given_secrets_and_leave_none(running: Running, book: SecretBook) -> None:
    given = {"key": "${{ secrets.KEY }}", "fail": False, "order": "EUR"}
    retry = {"attempts": 2, "delay": "1ms"}
    nodes = [
        {"id": "a", "uses": "script", "with": {"code": SCRIPT, "input": given}},
        {
            "id": "b", "uses": "script", "with": {"code": SCRIPT, "input": {**given, "fail": True}},
            "onError": "continue", "retry": retry,
        },
        {
            "id": "c", "uses": "shell",
            "with": {
                "command": ["sh", "-c", 'echo "$K"; cat; echo "err $K" >&2'],
                "env": {"K": "${{ secrets.KEY }}"}, "stdin": "${{ sha256(secrets.KEY) }}",
            },
        },
        {
            "id": "d", "uses": "shell", "onError": "continue",
            "with": {"command": ["sh", "-c", 'echo "$K" >&2; exit 3'], "env": {"K": "${{ secrets.KEY }}"}},
        },
    ]  # fmt: skip
    running.deploy("p", nodes)
    with leaves_nothing(running.database, KEY), worker(running), sweeper(running):
        run = running.run("p")
    spans = running.spans(run["id"])
    assert run["status"] == "completed", run["error"]
    assert spans["a"]["output"] == {"***": ["***", len(KEY), "EUR"]}
    lines = [line["message"] for line in spans["a"]["log"]]
    assert lines[0] == "given ***"
    assert "x***… (" in lines[1]
    assert spans["b"]["error"]["message"].endswith("ValueError: ***")
    assert (spans["c"]["output"]["stdout"], spans["c"]["output"]["stderr"]) == ("***\n***", "err ***\n")
    assert spans["d"]["error"]["message"] == "sh ended with exit code 3: ***"


def test_a_later_node_is_starred_too_and_reads_what_was_starred(
    running: Running, site: Site, book: SecretBook
) -> None:
    site.answers["/later"] = json_answer({"remembered": KEY})
    nodes = [
        http(site, "a", headers={"x-key": "${{ secrets.KEY }}"}),
        http(site, "b", "/later", json={"seen": "${{ nodes.a.body.headers['x-key'] }}"}, method="POST"),
        {
            "id": "c",
            "uses": "set",
            "with": {"both": ["${{ nodes.a.body.headers['x-key'] }}", "${{ nodes.b.body }}"]},
        },
    ]
    running.deploy("p", nodes, project=allowing(site), output="${{ nodes.c }}")
    with leaves_nothing(running.database, KEY), worker(running):
        run = running.run("p")
    assert run["output"] == {"both": ["***", {"remembered": "***"}]}
    assert json.loads(site.seen[1]["body"]) == {"seen": "***"}


def test_a_run_that_another_worker_takes_up_stars_what_its_version_names(
    running: Running, site: Site, book: SecretBook
) -> None:
    site.answers["/later"] = json_answer({"remembered": KEY, "password": "correct horse"})
    book.stored.put("default", "", "PASSWORD", "correct horse", by="ada")
    with running.database.connection() as c:
        crm = {"type": "http", "url": site.url, "headers": {"x": "${{ secrets.PASSWORD }}"}}
        write_connections(c, "default", {"crm": crm}, commit="c1")
    nodes = [
        http(site, "a", headers={"x-key": "${{ secrets.KEY }}"}),
        {"id": "b", "uses": "http", "with": {"connection": "crm"}},
        {"id": "w", "uses": "wait", "with": {"event": "go"}},
        http(site, "c", "/later"),
    ]
    running.deploy("p", nodes, project=allowing(site))
    with leaves_nothing(running.database, KEY, "correct horse"):
        with worker(running):
            run = running.start("p")
            running.wait(run, until=("waiting",))
        with worker(running):
            running.post(run, "go", None)
            ended = running.wait(run)
    assert ended["output"]["body"] == {"remembered": "***", "password": "***"}


def test_a_called_run_stars_what_its_caller_used(running: Running, site: Site, book: SecretBook) -> None:
    site.answers["/later"] = json_answer({"remembered": KEY})
    callee = running.deploy("callee", [http(site, "deep", "/later")], project=allowing(site))
    nodes = [
        http(site, "a", headers={"x-key": "${{ secrets.KEY }}"}),
        {"id": "b", "uses": "call", "with": {"pattern": "callee"}},
    ]
    running.deploy("p", nodes, calls={"callee": callee})
    with leaves_nothing(running.database, KEY), worker(running):
        run = running.run("p")
    assert run["output"]["body"] == {"remembered": "***"}


def test_a_secret_that_changes_is_another_for_the_next_attempt(
    running: Running, site: Site, book: SecretBook
) -> None:
    def answer(seen: Seen) -> Answer:
        if seen["headers"]["x-key"] == KEY:
            book.stored.put("default", "", "KEY", "the next one", by="ada")
            return 503, {}, KEY.encode()
        return json_answer([seen["headers"]["x-key"], KEY])

    site.answers["/"] = answer
    node = http(site, headers={"x-key": "${{ secrets.KEY }}"}) | {"retry": {"attempts": 3, "delay": "300ms"}}
    running.deploy("p", [node], project=allowing(site))
    with leaves_nothing(running.database, KEY, "the next one"), worker(running), sweeper(running):
        run = running.run("p")
    assert (run["status"], run["output"]["body"]) == ("completed", ["***", "***"])


def test_one_that_is_not_there_is_an_error_that_names_it(running: Running, site: Site) -> None:
    node = http(site, headers={"x": "${{ secrets.NOT_THERE }}"}) | {"retry": {"attempts": 3}}
    running.deploy("p", [node], project=allowing(site))
    with worker(running):
        error = running.run("p")["error"]
    assert (error["type"], error["retryable"]) == ("unknown_secret", False)
    assert "NOT_THERE" in error["message"]
    assert "weft secret set NOT_THERE" in error["hint"]
    assert not site.seen


def test_uses_are_recorded_once_for_each_node_of_a_run(
    running: Running, site: Site, book: SecretBook
) -> None:
    book.stored.put("default", "", "PASSWORD", "correct horse", by="ada")
    with running.database.connection() as c:
        crm = {"type": "http", "url": site.url, "headers": {"x": "${{ secrets.PASSWORD }}"}}
        write_connections(c, "default", {"crm": crm}, commit="c1")
    inside = http(site, "in", headers={"x": "${{ secrets.KEY }}${{ item }}"})
    nodes = [
        {"id": "each", "uses": "for-each", "items": "${{ [1, 2, 3] }}", "do": [inside]},
        {"id": "b", "uses": "http", "with": {"connection": "crm", "json": "${{ secrets.KEY }}"}},
        http(site, "f", "/none", query={"k": "${{ secrets.KEY }}"}, expect=[204]),
    ]  # fmt: skip
    running.deploy("p", nodes, project=allowing(site))
    with worker(running):
        run = running.run("p")
    with running.database.connection() as c:
        assert secret_uses.used_by(c, str(run["id"])) == {
            "b": ["KEY", "PASSWORD"],
            "each/in": ["KEY"],
            "f": ["KEY"],
        }
        found, cursor = secret_uses.list_uses(c, "default", "KEY", environment=None, before=None, limit=2)
        assert [(use.path, use.environment, use.deployment, use.pattern) for use in found] == [
            ("f", "production", "p", "p"), ("b", "production", "p", "p"),
        ]  # fmt: skip
        rest, end = secret_uses.list_uses(
            c, "default", "KEY", environment="production", before=cursor, limit=2
        )
        assert ([use.path for use in rest], end) == (["each/in"], None)
        for organisation, environment in (("other", None), ("default", "staging")):
            of = secret_uses.list_uses(c, organisation, "KEY", environment=environment, before=None, limit=2)
            assert of == ([], None)


def test_a_run_without_secrets_has_nothing_that_stars(running: Running, site: Site, book: SecretBook) -> None:
    site.answers["/"] = json_answer({"key": KEY})
    running.deploy("with", [http(site, headers={"x": "${{ secrets.KEY }}"})], project=allowing(site))
    running.deploy("without", [http(site)])
    with worker(running):
        assert running.run("with")["output"]["body"] == {"key": "***"}
        assert running.run("without")["output"]["body"] == {"key": KEY}, "what it gets is its own"


def test_a_program_knows_which_secrets_and_connections_it_names() -> None:
    nodes = [
        {"id": "a", "uses": "http", "with": {"url": "x", "headers": {"x": "${{ secrets.A + secrets.B }}"}}},
        {"id": "b", "uses": "sql", "with": {"connection": "w", "query": "q", "params": ["${{ secrets.C }}"]}},
        {"id": "c", "uses": "sql", "with": {"connection": "${{ vars.w }}", "query": "q"}},
        {"id": "d", "uses": "set", "with": {"secrets": "none"}},
    ]
    program = compile_pattern(pattern_from_spec("p", {"nodes": nodes}))
    assert program.secrets == {"A", "B", "C"}
    assert program.connections == {"w"}
    assert {path: step.secrets for path, step in program.by_path.items()} == {
        "a": ("A", "B"), "b": ("C",), "c": (), "d": (),
    }  # fmt: skip
