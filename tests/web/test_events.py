"""A run as it happens: `GET /runs/{id}/events`, by a real worker, over real HTTP."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from api_site import ADMIN, Site
from eventually import eventually
from hypothesis import given
from hypothesis import strategies as st

from cli.run_events import Event, parsed
from store import live
from store.database import RUN_TOLD, RUN_WATCHED, connect
from store.live import LONGEST_OUTPUT
from store.notifications import Listener
from store.runs import RunStatus
from store.spans import Span, SpanStatus
from web.api.live import feeds, stream
from web.api.live.cursor import Cursor
from web.api.live.progress import progress, total

SAYS = """
import pathlib, time
def main(gate):
    print("begins", flush=True)
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    print("ends", flush=True)
    return "done"
"""


@pytest.fixture
def told(site: Site) -> Iterator[Site]:
    """A site that hears what workers tell, as the service does."""
    listener = Listener(site.database, {RUN_TOLD: site.api.feeds.told}, lambda: None)
    listener.start()
    assert listener.connected.wait(5)
    yield site
    listener.stop()


class Follower:
    """Reads a stream event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.seen: list[Event] = []
        self._events = parsed(answer.iter_lines())

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        for event in self._events:
            self.seen.append(event)
            if wanted(event):
                return event
        raise AssertionError(f"the stream ended: {self.seen}")

    def rest(self) -> list[Event]:
        self.seen += self._events
        return self.seen


@contextmanager
def following(site: Site, run: str, after: str | None = None, token: str = ADMIN) -> Iterator[Follower]:
    headers = {} if after is None else {"Last-Event-ID": after}
    with site.client(token) as http, http.stream("GET", f"/runs/{run}/events", headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Follower(answer)


def all_of(site: Site, run: str, after: str | None = None) -> list[Event]:
    with following(site, run, after) as follower:
        return follower.rest()


def start(site: Site, deployment: str, **body: Any) -> str:
    return str(site.http.post(f"/deployments/{deployment}/runs", json=body).json()["id"])


def says(path: str, text: str | None = None) -> Callable[[Event], bool]:
    def is_it(event: Event) -> bool:
        found = event.event == "log" and event.data["path"] == path
        return found and text in (None, event.data["message"])

    return is_it


def becomes(path: str, status: str) -> Callable[[Event], bool]:
    return lambda event: (
        event.event == "node" and (event.data["path"], event.data["status"]) == (path, status)
    )


def brief(events: list[Event]) -> list[str]:
    """The events of nodes and their lines, a word or two for each."""
    said = []
    for event in events:
        if event.event == "node":
            said.append(f"{event.data['path']} {event.data['status']}")
        elif event.event == "log":
            said.append(f"{event.data['path']}: {event.data['message']}")
    return said


def script(id_: str, gate: Path, **keys: Any) -> dict[str, Any]:
    return {"id": id_, "uses": "script", "with": {"code": SAYS, "input": str(gate)}, **keys}


def row(path: str, status: SpanStatus = SpanStatus.COMPLETED, **fields: Any) -> Span:
    return Span(path, status, **{"attempt": 1, "started": 1.0, "ended": 2.0} | fields)


def test_nodes_and_their_lines_are_told_while_they_are_at_work(told: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    nodes = [{"id": "a", "uses": "set", "with": {"x": 1}}, script("b", gate), {"id": "c", "uses": "fail"}]
    told.deploy("orders", {"nodes": nodes})
    with told.worker():
        run = start(told, "orders")
        with following(told, run) as follower:
            follower.until(says("b", "begins"))
            assert brief(follower.seen) == ["a completed", "b running", "b: begins"]
            gate.touch()
            events = follower.rest()
    assert brief(events)[3:] == ["b: ends", "b completed", "c failed"]
    assert [event.event for event in events][-2:] == ["run", "end"]
    assert (events[-2].data["status"], events[-2].data["error"]["node"]) == ("failed", "c")
    done = next(event for event in events if becomes("b", "completed")(event))
    shown = told.http.get(f"/runs/{run}").json()["nodes"][1]
    assert {**done.data, "log": shown["log"]} == {**shown, "runAttempt": 1}


def test_who_comes_late_gets_everything_from_the_start(site: Site) -> None:
    site.deploy("orders")
    log = json.dumps([{"level": "info", "message": "one"}, {"level": "info", "message": "two"}])
    run = site.run(
        "orders", status=RunStatus.COMPLETED, spans=[row("a", log=log), row("b")], output='{"y": 2}'
    )
    events = all_of(site, run)
    assert brief(events) == ["a: one", "a: two", "a completed", "b completed"]
    assert [event.event for event in events if event.event in ("run", "end")] == ["run", "end"]
    assert events[0].data["output"] == {"y": 2}
    assert [event.data["line"] for event in events if event.event == "log"] == [1, 2]


def test_from_every_event_on_the_rest_comes_once(site: Site) -> None:
    site.deploy("orders")
    log = json.dumps([{"level": "info", "message": str(at)} for at in range(3)])
    rows = [
        row("a", log=log),
        row("b", SpanStatus.RUNNING, ended=None, log=log),
        row("c", SpanStatus.WAITING, ended=None, log=log),
    ]
    run = site.run("orders", status=RunStatus.COMPLETED, spans=rows)
    events = all_of(site, run)
    known = brief(events)
    assert len(known) == 12
    for at, event in enumerate(event for event in events if event.event in ("node", "log")):
        assert brief(all_of(site, run, event.id)) == known[at + 1 :]
        answer = site.http.get(f"/runs/{run}/events", params={"after": event.id}).text
        assert brief(list(parsed(answer.splitlines()))) == known[at + 1 :]


def test_who_was_cut_off_while_a_node_is_at_work_misses_nothing_and_hears_nothing_twice(
    told: Site, tmp_path: Path
) -> None:
    gates = [tmp_path / name for name in "ab"]
    nodes = [script("a", gates[0], needs=[]), script("b", gates[1], needs=[])]
    told.deploy("orders", {"nodes": nodes})
    heard: list[str] = []
    after = None
    with told.worker():
        run = start(told, "orders")
        for wanted, gate in ((says("b"), None), (becomes("a", "completed"), gates[0]), (None, gates[1])):
            with following(told, run, after) as follower:
                if gate is not None:
                    gate.touch()
                if wanted is None:
                    follower.rest()
                else:
                    after = follower.until(wanted).id
                    if gate is None and "a: begins" not in brief(follower.seen):
                        after = follower.until(says("a")).id
            heard += brief(follower.seen)
    assert sorted(heard) == sorted(
        f"{node}{what}" for node in "ab" for what in (" running", ": begins", ": ends", " completed")
    )


def test_the_end_is_told_and_who_has_it_is_sent_away_for_good(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders", status=RunStatus.COMPLETED, spans=[row("a")])
    last = all_of(site, run)[-1]
    assert last.event == "end"
    answer = site.http.get(f"/runs/{run}/events", headers={"Last-Event-ID": last.id or ""})
    assert (answer.status_code, answer.content) == (204, b"")


def test_each_attempt_of_a_run_is_told(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders", status=RunStatus.COMPLETED, spans=[row("a", SpanStatus.FAILED)])
    site.execute(
        "INSERT INTO spans (run_id, run_attempt, path, status, attempt) VALUES (%s, 2, 'a', 'completed', 1)",
        run,
    )
    nodes = [event.data for event in all_of(site, run) if event.event == "node"]
    assert [(node["runAttempt"], node["status"]) for node in nodes] == [(1, "failed"), (2, "completed")]


def test_nothing_is_written_or_said_of_a_run_that_nobody_follows(told: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    told.deploy("orders", {"nodes": [script("a", gate)]})
    heard: list[str] = []
    channels = {RUN_TOLD: heard.append, RUN_WATCHED: heard.append}
    listener = Listener(told.database, channels, lambda: None)
    listener.start()
    with told.worker():
        run = start(told, "orders")
        time.sleep(0.5)
        assert told.http.get(f"/runs/{run}").json()["nodes"] == []
        gate.touch()
        told.ended(run)
    listener.stop()
    assert heard == []


def test_a_node_that_was_shown_at_work_when_its_worker_died_begins_anew(told: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    gate.touch()
    told.deploy("orders", {"nodes": [script("a", gate), {"id": "b", "uses": "set", "with": {"x": 1}}]})
    log = json.dumps([{"level": "info", "message": "of the dead"}])
    run = told.run(
        "orders", status=RunStatus.PENDING, spans=[row("a", SpanStatus.RUNNING, ended=None, log=log)]
    )
    with following(told, run) as follower:
        follower.until(says("a", "of the dead"))
        with told.worker():
            told._ring([run])
            events = follower.rest()
    assert brief(events)[:2] == ["a running", "a: of the dead"]
    assert brief(events)[-4:] == ["a: begins", "a: ends", "a completed", "b completed"]
    assert events[-2].data["status"] == "completed"


def test_what_a_secret_node_gives_and_what_is_too_long_is_not_told(site: Site) -> None:
    secret = {"id": "a", "uses": "set", "with": {"x": 1}, "secret": True}
    site.deploy("orders", {"nodes": [secret, {"id": "b", "uses": "set", "with": {}}]})
    long = json.dumps("x" * LONGEST_OUTPUT)
    rows = [row("a", output='{"x": 1}'), row("b", output=long)]
    events = all_of(site, site.run("orders", status=RunStatus.COMPLETED, spans=rows, output=long))
    a, b = (event.data for event in events if event.event == "node")
    assert (a["output"], a["secret"]) == (None, True)
    assert (b["output"], b["outputTooLong"]) == (None, len(long))
    assert (events[0].data["output"], events[0].data["outputTooLong"]) == (None, len(long))


def test_a_viewer_may_follow_and_other_organisations_see_nothing(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders", status=RunStatus.COMPLETED)
    with following(site, run, token=site.token("viewer")) as follower:
        assert follower.rest()[-1].event == "end"
    for token, status in ((site.token("admin", organisation="other"), 404), (None, 401)):
        with site.client(token) as http:
            assert http.get(f"/runs/{run}/events").status_code == status


@pytest.mark.parametrize("after", ["x", "-1", "1.2", "1.end.end", "9" * 20, "1.zz-00-1"])
def test_what_is_no_id_of_an_event_is_refused(site: Site, after: str) -> None:
    site.deploy("orders")
    run = site.run("orders")
    assert site.http.get(f"/runs/{run}/events", params={"after": after}).status_code == 422
    answer = site.http.get(f"/runs/{run}/events", headers={"Last-Event-ID": after})
    assert answer.status_code == 422
    assert "Last-Event-ID" in answer.json()["detail"]


def test_who_has_too_many_streams_open_gets_no_other(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_EACH", 2)
    site.deploy("orders")
    run = site.run("orders")
    with following(site, run), following(site, run):
        refused = site.http.get(f"/runs/{run}/events")
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:weft:problem:too-many-streams")
        assert "Retry-After" in refused.headers
        with following(site, run, token=site.token("viewer")):
            pass
    eventually(lambda: followers(site) == 0)
    with following(site, run):
        assert followers(site) == 1


def followers(site: Site) -> int:
    return site.api.feeds._users.total()


def test_a_follower_who_does_not_read_is_let_go(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SLOWEST", 0.3)
    site.deploy("orders")
    log = json.dumps([{"level": "info", "message": "x" * 1000}] * 30_000)
    run = site.run("orders", status=RunStatus.COMPLETED, spans=[row("a", log=log)])
    host, port = site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        head = f"GET /api/v1/runs/{run}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
        connection.sendall(head.encode())
        eventually(lambda: followers(site) == 1)
        eventually(lambda: followers(site) == 0)


def test_streams_say_that_they_are_there_and_end_with_the_right_to_see_them(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT", 0.1)
    site.deploy("orders")
    run = site.run("orders")
    made = site.http.post("/tokens", json={"user": "eve", "role": "viewer"}).json()
    with following(site, run, token=made["token"]) as follower:
        lines = follower.answer.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": nothing new"
        assert site.http.delete(f"/tokens/{made['id']}").status_code == 200
        assert all(line in ("", ": nothing new") for line in lines)


def test_all_streams_end_when_the_service_stops(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders")
    with following(site, run) as follower:
        follower.until(lambda event: event.event == "run")
        site.api.feeds.stop()
        assert [event.event for event in follower.rest()] == ["run"]


def test_a_head_request_has_no_stream(site: Site) -> None:
    site.deploy("orders")
    assert site.http.head(f"/runs/{site.run('orders')}/events").status_code == 200
    eventually(lambda: followers(site) == 0)


def test_many_followers_of_a_run_cost_one_look_at_the_database(
    told: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    changes = live.changes
    monkeypatch.setattr(live, "changes", lambda *given: looks.append(1) or changes(*given))
    gate = tmp_path / "gate"
    told.deploy("orders", {"nodes": [script("a", gate)]})
    heard: list[list[str]] = []
    ready = threading.Barrier(31)

    def follow(run: str) -> None:
        with following(told, run) as follower:
            follower.until(says("a", "begins"))
            ready.wait(20)
            heard.append(brief(follower.rest()))

    with told.worker():
        run = start(told, "orders")
        threads = [threading.Thread(target=follow, args=[run]) for _ in range(30)]
        for thread in threads:
            thread.start()
        ready.wait(20)
        looks.clear()
        gate.touch()
        for thread in threads:
            thread.join()
    assert heard == [["a running", "a: begins", "a: ends", "a completed"]] * 30
    assert len(looks) < 10


def test_a_loop_tells_how_far_it_is(site: Site) -> None:
    loop = {"id": "each", "uses": "for-each", "items": [1, 2, 3, 4], "do": [
        {"id": "a", "uses": "set", "with": {}}, {"id": "b", "uses": "set", "with": {}}
    ]}  # fmt: skip
    site.deploy("orders", {"nodes": [loop]})
    rows = [
        row("each", SpanStatus.RUNNING, ended=None, output='{"state": {"items": [1, 2, 3, 4]}}'),
        row("each[0]/a"), row("each[0]/b"), row("each[1]/a"), row("each[2]/a", SpanStatus.FAILED),
    ]  # fmt: skip
    run = site.run("orders", status=RunStatus.WAITING, spans=rows)
    with following(site, run) as follower:
        each = follower.until(lambda event: event.event == "node").data
        assert (each["progress"], each["output"]) == ({"done": 2, "total": 4}, None)
        item = follower.until(becomes("each[0]/b", "completed")).data
        assert (item["id"], item["uses"]) == ("b", "set")
        site.execute(
            """INSERT INTO spans (run_id, run_attempt, path, status, attempt)
               VALUES (%s, 1, 'each[1]/b', 'completed', 1)""",
            run,
        )
        each = follower.until(lambda event: "progress" in event.data)
        assert (each.data["progress"], each.id) == ({"done": 3, "total": 4}, None)


@pytest.mark.parametrize(
    ("rows", "done"),
    [
        ([], 0),
        ([("[0]/a", "completed")], 0),
        ([("[0]/a", "completed"), ("[0]/b", "completed")], 1),
        ([("[0]/b", "skipped"), ("[11]/b", "cancelled")], 2),
        ([("[0]/a", "failed")], 1),
        ([("[0]/a", "failed"), ("[0]/b", "running")], 0),
        ([("[0]/b", "waiting")], 0),
        ([("[0]/b", "running"), ("[0]/b/x", "completed"), ("[0]/b[1]/b", "completed")], 0),
    ],
)
def test_an_item_is_done_when_nothing_of_it_goes_on(rows: list[tuple[str, str]], done: int) -> None:
    known = [(path, SpanStatus(status)) for path, status in rows]
    assert progress(known, "b", 7) == {"done": done, "total": 7}


@pytest.mark.parametrize(
    ("state", "items"),
    [({"state": {"items": [1, 2]}}, 2), ({"items": []}, 0), ({"state": {"total": 5}}, 5), (None, None),
     ({"state": {"taken": "then"}}, None), ({"total": True}, None), ([1], 1), ("x", None)],
)  # fmt: skip
def test_how_many_items_there_are_is_what_the_loop_notes_for_itself(state: Any, items: int | None) -> None:
    assert total(state) == items


hex_of = st.text("0123456789abcdef", min_size=12, max_size=12)


@given(
    st.integers(0, 10**17),
    st.dictionaries(hex_of, st.tuples(hex_of.map(lambda text: text[:6]), st.integers(0, 10**8)), max_size=20),
    st.booleans(),
)
def test_a_cursor_is_what_its_text_says(seq: int, lines: dict[str, tuple[str, int]], ended: bool) -> None:
    cursor = Cursor(seq, lines, ended)
    assert Cursor.read(str(cursor)) == cursor


def test_a_worker_writes_down_what_is_at_work_only_while_it_holds_the_run(site: Site) -> None:
    site.deploy("orders")
    run = site.run("orders", status=RunStatus.PENDING)
    with connect(site.database.url) as connection:
        live.show(connection, run, 1, 1, row("a", SpanStatus.RUNNING))
        assert site.execute("SELECT path FROM spans WHERE run_id = %s", run) == []
        live.show(connection, run, 2, 1, row("a", SpanStatus.RUNNING))
    assert site.execute("SELECT path, status FROM spans WHERE run_id = %s", run) == [("a", "running")]
