"""Replays with a real worker: what was kept is not executed again, what comes after it is."""

from pathlib import Path
from typing import Any

from running import Running

from schemas.pattern import pattern_from_spec
from store import run_reads
from store.ids import new_id
from store.replays import Replay, replay
from web.api.again import kept_rows, parse_path

CODE = """\
def main(input):
    with open(input["world"], "a") as world:
        world.write(input["line"] + "\\n")
    if input["line"] == input["bad"] and not __import__("os").path.exists(input["world"] + ".mended"):
        raise ValueError("not yet")
    return input["line"]
"""


def note(id_: str, line: str, world: Path) -> dict[str, Any]:
    given = {"world": str(world), "line": line, "bad": "send c"}
    return {"id": id_, "uses": "script", "with": {"code": CODE, "input": given}}


def nodes(world: Path) -> list[dict[str, Any]]:
    return [
        note("first", "first", world),
        {
            "id": "each", "uses": "for-each", "items": ["a", "b", "c", "d"],
            "do": [note("get", "get ${{ item }}", world), note("send", "send ${{ item }}", world)],
        },
        note("last", "last", world),
    ]  # fmt: skip


def again(service: Running, run: str, written: list[dict[str, Any]], start: str) -> dict[str, Any]:
    pattern = pattern_from_spec("p", {"nodes": written})
    with service.database.connection() as c:
        attempt = run_reads.last_attempt(c, run) or 1
        journal = run_reads.done(c, run, attempt)
        kept = kept_rows(journal, pattern.nodes, None if start == "failed" else parse_path(start))
        new = new_id()
        assert replay(c, Replay(id=new, of=run, attempt=attempt, kept=kept, start=start))
    service.ring([new])
    return service.wait(new)


def test_a_loop_goes_on_from_the_failed_item_and_from_any_that_is_named(
    service: Running, tmp_path: Path
) -> None:
    world = tmp_path / "world"
    tmp_path.chmod(0o777)
    written = nodes(world)
    service.deploy("p", written)
    run = service.run("p")
    assert run["status"] == "failed"
    assert world.read_text().splitlines() == [
        "first",
        "get a",
        "send a",
        "get b",
        "send b",
        "get c",
        "send c",
    ]
    world.write_text("")
    (tmp_path / "world.mended").touch()
    done = again(service, run["id"], written, "failed")
    assert (done["status"], done["replay_from"]) == ("completed", "failed")
    assert world.read_text().splitlines() == ["send c", "get d", "send d", "last"]
    world.write_text("")
    once_more = again(service, done["id"], written, "each[1]/send")
    assert once_more["status"] == "completed"
    assert world.read_text().splitlines() == ["send b", "last"]
    assert service.spans(once_more["id"])["each"]["output"] == ["send a", "send b", "send c", "send d"]


def test_what_is_done_anew_is_cleaned_up_behind_anew(service: Running, tmp_path: Path) -> None:
    world = tmp_path / "world"
    tmp_path.chmod(0o777)
    guard = {
        "id": "guard",
        "uses": "try",
        "do": [note("take", "take", world), note("send", "send c", world)],
        "finally": [note("release", "release", world)],
    }
    written = [guard, note("last", "last", world)]
    service.deploy("guarded", written)
    run = service.run("guarded")
    assert run["status"] == "failed"
    assert world.read_text().splitlines() == ["take", "send c", "release"]
    world.write_text("")
    (tmp_path / "world.mended").touch()
    done = again(service, run["id"], written, "failed")
    assert done["status"] == "completed"
    assert world.read_text().splitlines() == ["send c", "release", "last"]


FLAKY = """\
def main(input):
    with open(input, "a+") as tries:
        tries.write("x")
        tries.seek(0)
        if len(tries.read()) < 4:
            raise ValueError("not yet")
"""


def test_what_a_replay_keeps_is_not_executed_in_its_second_attempt_either(
    service: Running, tmp_path: Path
) -> None:
    world = tmp_path / "world"
    tmp_path.chmod(0o777)
    flaky = {"id": "flaky", "uses": "script", "with": {"code": FLAKY, "input": f"{world}.tries"}}
    later = {"id": "later", "uses": "set", "with": {"got": "${{ nodes.first }}"}}
    written = [note("first", "first", world), flaky, later]
    service.deploy("flaky", written, retry={"attempts": 2, "delay": "10ms"})
    run = service.run("flaky")
    assert (run["status"], run["attempt"]) == ("dead_letter", 2)
    assert world.read_text().splitlines() == ["first", "first"]
    done = again(service, run["id"], written, "failed")
    assert (done["status"], done["attempt"], done["output"]) == ("completed", 2, {"got": "first"})
    assert world.read_text().splitlines() == ["first", "first"]
    assert sorted(service.spans(done["id"], 2)) == ["first", "flaky", "later"]
