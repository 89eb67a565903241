"""Runs as a user would see them: a real worker and sweeper on a real PostgreSQL and broker."""

import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from running import Running, sweeper, worker

from store import wakeups


def set_(id_: str, **values: Any) -> dict[str, Any]:
    return {"id": id_, "uses": "set", "with": values}


def test_a_run_takes_its_trigger_through_its_nodes_to_its_output(service: Running) -> None:
    service.deploy(
        "orders",
        [
            set_("order", total="${{ trigger.body.total * 2 }}", label="no. ${{ trigger.body.id }}"),
            {
                "id": "size",
                "uses": "branch",
                "if": "${{ nodes.order.total > vars.limit }}",
                "then": [{"id": "big", "uses": "log", "with": {"message": "big ${{ nodes.order.label }}"}}],
                "else": [set_("small", ok=True)],
            },
        ],
        variables={"limit": 100},
        output="${{ nodes.order }}",
    )
    run = service.run("orders", {"total": 60, "id": 7})
    assert (run["status"], run["output"]) == ("completed", {"total": 120, "label": "no. 7"})
    spans = service.spans(run["id"])
    assert list(spans) == ["order", "size", "size/big"]
    assert all(span["status"] == "completed" for span in spans.values())
    assert spans["size/big"]["log"][0]["message"] == "big no. 7"


def test_when_false_skips_a_node_and_its_output_is_null(service: Running) -> None:
    service.deploy(
        "p", [set_("a", x=1) | {"when": "${{ trigger.body.go }}"}, set_("b", seen="${{ nodes.a }}")]
    )
    run = service.run("p", {"go": False})
    assert run["output"] == {"seen": None}
    assert service.spans(run["id"])["a"]["status"] == "skipped"


def test_an_error_names_its_node_and_says_what_to_do(service: Running) -> None:
    service.deploy("p", [set_("a", x="${{ trigger.body.missing }}")])
    run = service.run("p", {"there": 1})
    assert run["status"] == "failed"
    assert run["error"]["node"] == "a"
    assert "missing" in run["error"]["message"]
    assert run["error"]["hint"]


def test_on_error_continue_hands_the_error_on(service: Running) -> None:
    nodes = [
        {"id": "a", "uses": "fail", "with": {"type": "mine", "message": "no"}, "onError": "continue"},
        set_("b", type="${{ nodes.a.error.type }}"),
    ]
    service.deploy("p", nodes)
    assert service.run("p")["output"] == {"type": "mine"}


def test_stop_completes_the_run_early(service: Running) -> None:
    service.deploy("p", [{"id": "s", "uses": "stop", "with": {"output": "enough"}}, set_("never")])
    run = service.run("p")
    assert (run["status"], run["output"], list(service.spans(run["id"]))) == ("completed", "enough", ["s"])


def test_what_a_stop_gives_is_the_run_s_output_whatever_the_pattern_says(service: Running) -> None:
    nodes = [{"id": "s", "uses": "stop", "with": {"output": "early"}}, set_("never")]
    service.deploy("p", nodes, output="${{ vars.late }}", variables={"late": "late"})
    assert service.run("p")["output"] == "early"


def test_a_called_pattern_runs_as_a_sub_run_on_its_frozen_version(service: Running) -> None:
    old = service.deploy(
        "greet", [set_("hello", text="hello ${{ input.name }}")], output="${{ nodes.hello.text }}"
    )
    service.deploy("greet", [set_("hello", text="changed")])
    call = {"id": "c", "uses": "call", "with": {"pattern": "greet", "input": {"name": "${{ trigger.body }}"}}}
    service.deploy("outer", [call, set_("after", said="${{ nodes.c }}")], calls={"greet": old})
    run = service.run("outer", "Ada")
    assert run["output"] == {"said": "hello Ada"}
    child = service.read(service.spans(run["id"])["c"]["child_run_id"])
    assert (child["parent_id"], child["root_id"], child["version_id"]) == (run["id"], run["id"], old)


def test_a_called_run_that_fails_fails_its_node_with_its_reason(service: Running) -> None:
    bad = service.deploy("bad", [{"id": "f", "uses": "fail", "with": {"message": "out of stock"}}])
    service.deploy("outer", [{"id": "c", "uses": "call", "with": {"pattern": "bad"}}], calls={"bad": bad})
    run = service.run("outer")
    assert run["status"] == "failed"
    assert "out of stock" in run["error"]["message"]


def test_a_paused_callee_is_not_called(service: Running) -> None:
    closed = service.deploy("closed", [set_("a")], state="paused")
    service.deploy(
        "outer", [{"id": "c", "uses": "call", "with": {"pattern": "closed"}}], calls={"closed": closed}
    )
    assert "paused" in service.run("outer")["error"]["message"]


def test_a_callee_refuses_an_input_that_does_not_fit(service: Running) -> None:
    strict = service.deploy("strict", [set_("a")], input={"type": "object", "required": ["name"]})
    call = {"id": "c", "uses": "call", "with": {"pattern": "strict", "input": {"nom": "x"}}}
    service.deploy("outer", [call], calls={"strict": strict})
    assert '"name" is a required property' in service.run("outer")["error"]["message"]


def test_a_delay_holds_no_worker(running: Running) -> None:
    running.deploy("nap", [{"id": "d", "uses": "delay", "with": {"for": "400ms"}}, set_("after", x=1)])
    running.deploy("quick", [set_("a", x=1)])
    with worker(running, threads=1), sweeper(running):
        sleeping = running.start("nap")
        running.wait(sleeping, until=("waiting",))
        assert running.run("quick")["status"] == "completed"
        run = running.wait(sleeping)
    assert 0.39 < (run["ended_at"] - run["started_at"]).total_seconds() < 1.5


class Flaky(BaseHTTPRequestHandler):
    """Answers 503 until it was asked `failures` times."""

    failures = 2
    keys: list[str | None]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.keys.append(self.headers.get("idempotency-key"))
        self.send_response(503 if len(self.keys) <= self.failures else 200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"ok": true}')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def flaky() -> Any:
    handler = type("Handler", (Flaky,), {"keys": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/pay", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_node_is_retried_with_the_same_key_until_it_succeeds(service: Running, flaky: Any) -> None:
    url, handler = flaky
    retry = {"attempts": 3, "delay": "10ms", "jitter": False}
    node = {
        "id": "pay",
        "uses": "http",
        "with": {"url": url, "method": "POST", "json": {"a": 1}},
        "retry": retry,
    }
    service.deploy("p", [node], project={"network": {"allow": ["127.0.0.0/8"]}})
    run = service.run("p")
    assert run["status"] == "completed", run["error"]
    assert run["output"]["body"] == {"ok": True}
    assert service.spans(run["id"])["pay"]["attempt"] == 3
    assert len(set(handler.keys)) == 1


def test_a_run_whose_attempts_are_used_up_is_a_dead_letter(service: Running) -> None:
    fail = {"id": "f", "uses": "fail", "with": {"message": "no", "retry": True}}
    service.deploy("p", [set_("a", n="${{ run.attempt }}"), fail], retry={"attempts": 2, "delay": "10ms"})
    run = service.run("p")
    assert (run["status"], run["attempt"]) == ("dead_letter", 2)
    assert service.spans(run["id"], 1)["a"]["output"] == {"n": 1}
    assert service.spans(run["id"], 2)["a"]["output"] == {"n": 2}


def test_an_error_that_no_retry_can_help_fails_at_once(service: Running) -> None:
    service.deploy("p", [set_("a", x="${{ trigger.body.nope }}")], retry={"attempts": 5, "delay": "10ms"})
    run = service.run("p", {})
    assert (run["status"], run["attempt"]) == ("failed", 1)


def test_a_run_ends_at_its_time_limit_even_while_it_sleeps(service: Running) -> None:
    service.deploy("p", [{"id": "d", "uses": "delay", "with": {"for": "1h"}}], timeout="200ms")
    run = service.run("p")
    assert (run["status"], run["error"]["type"]) == ("timeout", "timeout")
    assert service.spans(run["id"])["d"]["status"] == "cancelled"


def test_a_node_s_time_out_stops_its_script(service: Running) -> None:
    code = "import time\ndef main(input):\n    time.sleep(60)\n"
    service.deploy("p", [{"id": "s", "uses": "script", "with": {"code": code}, "timeout": "200ms"}])
    run = service.run("p")
    assert (run["status"], run["error"]["type"]) == ("failed", "timeout")


def test_nodes_without_an_edge_between_them_run_at_the_same_time(service: Running) -> None:
    code = "import time\ndef main(input):\n    time.sleep(0.5)\n    return input"
    nodes = [
        {"id": f"s{i}", "uses": "script", "needs": [], "with": {"code": code, "input": i}} for i in range(4)
    ]
    service.deploy("p", [*nodes, set_("all", x="${{ nodes.s3 }}") | {"needs": [f"s{i}" for i in range(4)]}])
    run = service.run("p")
    assert run["output"] == {"x": 3}
    assert (run["ended_at"] - run["started_at"]).total_seconds() < 1.7


def test_a_script_of_the_frozen_version_logs_what_it_prints(service: Running) -> None:
    source = b"def main(input):\n    print('got', input)\n    return input * 2\n"
    service.deploy(
        "p",
        [{"id": "s", "uses": "script", "with": {"file": "scripts/x.py", "input": 21}}],
        assets={"scripts/x.py": source},
    )
    run = service.run("p")
    assert run["output"] == 42
    assert service.spans(run["id"])["s"]["log"][0]["message"] == "got 21"


def test_cancelling_stops_a_script_and_the_run_and_what_it_called(service: Running) -> None:
    code = "import time\ndef main(input):\n    time.sleep(60)\n"
    slow = service.deploy("slow", [{"id": "s", "uses": "script", "with": {"code": code}}])
    service.deploy("outer", [{"id": "c", "uses": "call", "with": {"pattern": "slow"}}], calls={"slow": slow})
    run = service.start("outer")
    service.wait(run, until=("waiting",))
    child = service.spans(run)["c"]["child_run_id"]
    service.wait(child, until=("running",))
    time.sleep(0.2)
    asked = time.monotonic()
    with service.database.connection() as connection:
        assert wakeups.cancel(connection, run) is not None
    assert service.wait(run)["status"] == "cancelled"
    assert service.wait(child)["status"] == "cancelled"
    assert time.monotonic() - asked < 8


def test_a_worker_that_is_asked_to_stop_gives_its_runs_back_at_the_next_node(running: Running) -> None:
    code = "import time\ndef main(input):\n    time.sleep(0.3)\n    return input"
    running.deploy(
        "p", [{"id": f"s{i}", "uses": "script", "with": {"code": code, "input": i}} for i in range(6)]
    )
    with worker(running):
        run = running.start("p")
        while len(running.spans(run)) < 2:
            time.sleep(0.02)
    left = running.read(run)
    assert (left["status"], left["crashes"]) == ("pending", 0)
    assert 2 <= len(running.spans(run)) < 6
    with worker(running):
        assert running.wait(run)["status"] == "completed"
    assert [span["output"] for span in running.spans(run).values()] == list(range(6))


def test_a_defect_ends_the_run_and_nobody_else(service: Running) -> None:
    version = service.deploy("p", [set_("a")])
    service.deploy("fine", [set_("a", x=1)])
    with service.database.connection() as connection:
        connection.execute('UPDATE versions SET content = \'{"pattern": "p"}\' WHERE id = %s', [version])
    run = service.run("p")
    assert (run["status"], run["error"]["type"]) == ("failed", "internal_error")
    assert service.run("fine")["status"] == "completed"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"type": "order.\0", "message": "a\0b"}, ("failed", "a\ufffdb")),
        ({"type": "", "message": "no"}, ("failed", "no")),
        ({"type": "order.bad", "message": "m" * 20_000}, ("order.bad", "m" * 9_999 + "…")),
    ],
)
def test_what_an_expression_makes_an_error_of_ends_the_run_all_the_same(
    service: Running, body: dict[str, str], error: tuple[str, str]
) -> None:
    given = {"type": "${{ trigger.body.type }}", "message": "${{ trigger.body.message }}", "retry": True}
    service.deploy("p", [{"id": "f", "uses": "fail", "with": given}], retry={"attempts": 2, "delay": "10ms"})
    run = service.run("p", body)
    assert (run["status"], run["error"]["type"], run["error"]["message"]) == ("dead_letter", *error)
