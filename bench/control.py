"""What the order of nodes costs: light nodes, items, branches, a replay. `python -m bench.control`

The floors are taken beside it: an expression evaluated on its own, a durable commit, a request to the same server.
"""

from __future__ import annotations

import http.server
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from bench.floors import commits
from bench.installation import Installation, installation, settle
from bench.processes import family
from bench.scripts import one
from bench.table import milliseconds, show, spread
from schemas.expressions import compile_template
from store.database import Connection

LIGHT = 500
ITEMS = 10_000
REPLAYED = 1_000
SLOW = 0.1
"""Seconds that the server takes for an answer."""


def pattern(name: str, nodes: list[dict[str, Any]], **spec: Any) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "weft/v1",
            "kind": "Pattern",
            "metadata": {"name": name},
            "spec": {"on": {"webhook": {}}, "nodes": nodes, **spec},
        }
    )


def light_nodes(count: int) -> list[dict[str, Any]]:
    first = {"id": "n0", "uses": "set", "with": {"n": 0}}
    return [first] + [
        {"id": f"n{at}", "uses": "set", "with": {"n": f"${{{{ nodes.n{at - 1}.n + 1 }}}}"}}
        for at in range(1, count)
    ]


def each(items: int) -> list[dict[str, Any]]:
    body = {"id": "one", "uses": "set", "with": {"n": "${{ item * 2 }}"}}
    loop = {"id": "each", "uses": "for-each", "items": f"${{{{ range({items}) }}}}", "maxParallel": 20}
    size = {"id": "size", "uses": "set", "with": {"size": "${{ size(nodes.each) }}"}}
    return [{**loop, "do": [body]}, size]


def requests(url: str) -> list[dict[str, Any]]:
    branches = {
        f"b{at}": [{"id": f"call{at}", "uses": "http", "with": {"url": f"{url}/{at}"}}] for at in range(20)
    }
    return [{"id": "all", "uses": "parallel", "branches": branches}]


class _Slow(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits for a delayed acknowledgement of the head: 40 ms

    def do_GET(self) -> None:
        time.sleep(SLOW)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Nothing."""


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 100


@contextmanager
def slow_server() -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), _Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def spent(connection: Connection, run: str) -> float:
    """Seconds from claimed to ended."""
    sql = "SELECT status, extract(epoch FROM ended_at - started_at)::float8, error FROM runs WHERE id = %s"
    status, seconds, error = connection.execute(sql, [run]).fetchone() or ()
    assert status == "completed", error
    return float(seconds)


def several(weft: Installation, connection: Connection, name: str, text: str, runs: int) -> list[float]:
    hook = weft.deploy(name, text)
    return [spent(connection, one(connection, hook)[0]) for _ in range(runs)]


def worker_memory(weft: Installation) -> int:
    """Bytes (PSS) of the largest worker."""
    return max(one.pss for one in family(weft.pid) if one.name == "weft-worker")


def replays(weft: Installation, connection: Connection, runs: int) -> list[float]:
    """Seconds from asking for a replay to the first node that runs anew."""
    last = {"id": "last", "uses": "fail", "with": {"message": "every time"}}
    hook = weft.deploy("replayed", pattern("replayed", [*light_nodes(REPLAYED - 1), last]))
    failed, _ = one(connection, hook)
    found = []
    with httpx.Client(base_url=weft.url, headers={"authorization": f"Bearer {weft.token}"}) as client:
        client.get("/healthz")  # the connection is there
        for _ in range(runs):
            asked = time.time()
            answer = client.post(f"/api/v1/runs/{failed}/retry", json={"from": "failed"})
            run = answer.raise_for_status().json()["id"]
            settle(connection)
            sql = (
                "SELECT extract(epoch FROM started_at)::float8 FROM spans WHERE run_id = %s AND path = 'last'"
            )
            row = connection.execute(sql, [run]).fetchone()
            assert row is not None
            found.append(row[0] - asked)
    return found


def expression() -> float:
    """Seconds of one evaluation on its own."""
    template = compile_template({"n": "${{ nodes.a.n + 1 }}"})
    scope = {"nodes": {"a": {"n": 1}}}
    began = time.perf_counter()
    for _ in range(10_000):
        template.evaluate(scope)
    return (time.perf_counter() - began) / 10_000


def main() -> None:
    with slow_server() as url, installation() as weft, weft.database() as connection:
        allow = {"network": {"allow": [url.removeprefix("http://")]}}
        project = {"apiVersion": "weft/v1", "kind": "Project", "metadata": {"name": "bench"}, "spec": allow}
        light = several(weft, connection, "light", pattern("light", light_nodes(LIGHT)), 20)
        before = worker_memory(weft)
        loop = several(weft, connection, "each", pattern("each", each(ITEMS)), 5)
        grown = worker_memory(weft) - before
        (weft.work / "weft.yaml").write_text(json.dumps(project))
        calls = several(weft, connection, "calls", pattern("calls", requests(url)), 10)
        again = replays(weft, connection, 10)
        commit = statistics.median(commits(connection, 200))
    per_node = [whole / LIGHT for whole in light]
    show(
        "Control flow: from claimed to ended",
        [
            (
                f"a light node, of {LIGHT} in a row",
                "≤ 0.10 ms",
                f"p50 {statistics.median(per_node) * 1000:.3f} ms",
                f"its expression alone {expression() * 1000:.3f} ms",
            ),
            (
                f"for-each of {ITEMS:,} light items, 20 at a time",
                "≤ 2 s",
                f"p50 {statistics.median(loop):.2f} s",
                f"{statistics.median(loop) / ITEMS * 1e6:.0f} µs an item, journaled",
            ),
            ("  the worker has grown by", "< 100 MB", f"{grown / 1e6:.0f} MB", "after 5 such runs"),
            (
                "parallel: 20 requests of 100 ms each",
                "≤ 150 ms",
                spread(calls),
                f"one such request {milliseconds(SLOW)}, a commit {milliseconds(commit)}",
            ),
            (
                f"replay behind {REPLAYED - 1} nodes, asked → first new node",
                "≤ 50 ms",
                spread(again),
                f"a commit {milliseconds(commit)}",
            ),
        ],
    )


if __name__ == "__main__":
    main()
