"""`--follow`: a run on the screen as it happens, whatever becomes of the connection."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from api_site import ADMIN, Site
from rich.console import Console
from weft_command import WEFT, environment

from cli import following, run_events
from cli.addresses import Client
from cli.client import RefusedError, Server, UnreachableError
from cli.following import follow
from cli.run_events import Event, parsed

SAYS = """
import pathlib, time
def main(gate):
    print("begins", flush=True)
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    print("ends", flush=True)
    return {"done": True}
"""


def weft(site: Site, *arguments: str) -> subprocess.Popen[str]:
    environ = environment(WEFT_URL=site.url, WEFT_TOKEN=ADMIN)
    pipe = subprocess.PIPE
    return subprocess.Popen([*WEFT, *arguments], env=environ, stdout=pipe, stderr=pipe, text=True)


def until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to a line with `text`."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def test_nodes_and_lines_are_printed_while_the_run_goes_on(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    nodes = [
        {"id": "slow", "uses": "script", "with": {"code": SAYS, "input": str(gate)}},
        {"id": "bad", "uses": "fail", "with": {"message": "too much"}},
    ]
    site.deploy("orders", {"nodes": nodes})
    with site.worker():
        process = weft(site, "run", "orders", "--follow")
        before = until(process, "begins")
        gate.touch()
        after, _ = process.communicate(timeout=20)
    assert "slow  script  running" in before
    assert re.search(r"info  ends\n  slow  script  completed  [\d.]+ m?s\n      → {\"done\": true}\n", after)
    assert "failed: too much" in after
    assert after.count("too much") == 1
    assert "failed after" in after.splitlines()[-1]
    assert process.returncode == 1


def test_ctrl_c_leaves_the_run_going_and_says_how_to_come_back(site: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    node = {"id": "slow", "uses": "script", "with": {"code": SAYS, "input": str(gate)}}
    site.deploy("orders", {"nodes": [node]})
    with site.worker():
        process = weft(site, "run", "orders", "--follow")
        until(process, "begins")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 130
        [run] = site.rung
        assert f"The run goes on. See it with: weft log {run} --follow" in said
        assert "Traceback" not in said
        again = weft(site, "log", run, "--follow", "--json")
        until(again, "begins")
        gate.touch()
        rest, _ = again.communicate(timeout=20)
    events = [json.loads(line) for line in rest.splitlines()]
    assert [event["event"] for event in events][-1] == "end"
    assert again.returncode == 0


class Cutting(BaseHTTPRequestHandler):
    """A server that ends each answer after some of the events, in the middle of one."""

    asked: ClassVar[list[str | None]] = []
    answers: ClassVar[list[tuple[int, str]]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path.partition("after=")[2] or None)
        status, text = self.answers.pop(0)
        kind = "text/event-stream" if status == 200 else "application/problem+json"
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cutting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(run_events, "PAUSE", 0.01)
    Cutting.asked, Cutting.answers = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cutting)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    with Server(Client(url=f"http://127.0.0.1:{server.server_port}", token="t")) as client:
        yield client
    server.shutdown()
    thread.join()
    server.server_close()


BUSY = json.dumps({"type": "urn:weft:problem:too-many-streams", "title": "Too many", "detail": "Come again."})
GONE = json.dumps({"type": "urn:weft:problem:not-found", "title": "Not found", "detail": "There is no run."})


def test_who_is_cut_off_comes_again_behind_the_last_whole_event(cutting: Server) -> None:
    Cutting.answers = [
        (200, 'retry: 1000\n\nid: 1\nevent: log\ndata: {"a":\ndata: 1}\n\nid: 2\nevent: log\ndata: {}\n'),
        (429, BUSY),
        (200, ""),
        (200, ": quiet\n\nid: 2\nevent: log\ndata: {}\n\nid: 3.end\nevent: end\ndata: {}\n\n"),
    ]
    events = list(run_events.run_events(cutting, "r"))
    assert [(event.event, event.id) for event in events] == [("log", "1"), ("log", "2"), ("end", "3.end")]
    assert events[0].data == {"a": 1}
    assert Cutting.asked == [None, "1", "1", "1"]


def test_a_refusal_ends_it_and_so_does_a_server_that_stays_away(
    cutting: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    Cutting.answers = [(404, GONE)]
    with pytest.raises(RefusedError, match="There is no run"):
        list(run_events.run_events(cutting, "r"))
    monkeypatch.setattr(run_events, "PATIENCE", 0.1)
    with Server(Client(url="http://127.0.0.1:1", token="t")) as nobody, pytest.raises(UnreachableError):
        list(run_events.run_events(nobody, "r"))


RUN = {
    "id": "r", "pattern": "orders", "version": {"id": "v", "number": 1}, "status": "running", "mode": "live",
    "durationMs": None,
    "error": None, "output": None, "endedAt": None,
}  # fmt: skip
NODE = {
    "name": "n", "id": "n", "uses": "set", "status": "completed", "attempt": 1, "runAttempt": 1, "durationMs": 3.0,
    "output": None, "error": None, "childRunId": None,
}  # fmt: skip


def node(path: str, **fields: Any) -> Event:
    id_ = path.rsplit("/", 1)[-1]
    return Event("node", {**NODE, "path": path, "id": id_, "name": id_, **fields}, None)


def line(path: str, message: str, attempt: int = 1) -> Event:
    return Event("log", {"path": path, "runAttempt": attempt, "level": "info", "message": message}, None)


def shown(*events: Event, **options: Any) -> str:
    out = io.StringIO()
    ended = Event("run", {**RUN, "status": "completed", "durationMs": 9.0, "endedAt": "t"}, None)
    all_events = [Event("run", RUN, None), *events, ended, Event("end", {}, None)]
    follow(Console(file=out, width=100, highlight=False, **options), iter(all_events))
    return out.getvalue()


def test_a_loop_is_one_line_of_progress_now_and_then_and_its_items_only_what_matters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "NOW_AND_THEN", 0.0)
    moving = {"uses": "for-each", "status": "running"}
    text = shown(
        node("each", **moving, progress={"done": 0, "total": 3}),
        node("each[0]/a"),
        node("each[1]/a", status="running", uses="script"),
        line("each[1]/a", "hello"),
        node("each[1]/a", status="failed", error={"type": "bad", "message": "no", "hint": ""}),
        node("each", **moving, progress={"done": 2, "total": 3}),
        node("each", uses="for-each", output=[1, 2, 3]),
    )
    assert text.splitlines()[1:-1] == [
        "  each 0/3",
        "        info  each[1]/a: hello",
        "    a  set  each[1]/a  failed  3 ms",
        "        bad: no",
        "  each 2/3",
        "  each  for-each  completed  3 ms",
        "      → [1, 2, 3]",
    ]


def test_on_a_terminal_progress_is_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    moving = {"uses": "for-each", "status": "running"}
    events = [node("each", **moving, progress={"done": done, "total": 9}) for done in range(9)]
    text = shown(*events, node("each", uses="for-each"), force_terminal=True)
    assert "\x1b[2K" in text
    assert "each 8/9" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text).splitlines()
    assert plain[-1].startswith("orders v1")


def test_attempts_waits_and_called_runs_are_told_once() -> None:
    failing = {"uses": "http", "error": {"type": "away", "message": "no answer", "hint": ""}}
    text = shown(
        node("a", uses="http", status="running"),
        node("a", **failing, status="waiting"),
        node("a", **failing, status="waiting"),
        node("a", uses="http", status="running", attempt=2),
        node("a", attempt=2),
        node("b", uses="call", status="waiting", childRunId="0199"),
        line("c", "one"),
        node("c", runAttempt=1),
        node("a", runAttempt=2),
    )
    said = [" ".join(part.split()) for part in text.splitlines()]
    assert said[1:-1] == [
        "a http running", "a http waiting", "away: no answer", "a http running attempt 2",
        "a set completed 3 ms attempt 2", "b call waiting", "run 0199", "c set completed 3 ms", "info one",
        "attempt 2", "a set completed 3 ms",
    ]  # fmt: skip


def test_what_is_no_event_is_passed_over() -> None:
    lines = [": a comment", "", "retry: 5", "", "event: run", "data: {}", "", "data: {}"]
    assert list(parsed(lines)) == [Event("run", {}, None)]
