"""Workers that die with runs in hand: the runs go on behind what is journaled."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from callers import Callers, World
from eventually import eventually
from installation import Installation, pattern

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

SPANS = "run_id::text, run_attempt, path, status, started_at, ended_at, output::text"


def worker_of(weft: Installation, pid: int) -> int:
    """The worker that a script's process belongs to."""
    workers = weft.pids("weft-worker")
    while pid not in workers:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid


def completed_spans(weft: Installation) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    rows = weft.rows(f"SELECT {SPANS} FROM spans WHERE status = 'completed'")
    return {row[:3]: row[3:] for row in rows}


@pytest.mark.parametrize("at", [1, 5, 9])
def test_a_run_goes_on_behind_its_last_journaled_node(weft: Installation, world: World, at: int) -> None:
    weft.push(world.live("ten", world.nodes(10, before=0.05, after=0.05)))
    status, answer = weft.request("POST", weft.hook("ten"), {})
    assert status == 202
    run = answer["run"]["id"]
    eventually(lambda: len(world.effects()) >= at)
    victim = worker_of(weft, world.effects()[-1].pid)
    journaled = completed_spans(weft)
    os.kill(victim, signal.SIGKILL)
    killed = time.time()
    assert weft.await_ends({run}) == {run: "completed"}

    nodes = [f"n{number}" for number in range(1, 11)]
    spans = completed_spans(weft)
    assert sorted(spans) == sorted((run, 1, node) for node in nodes)
    assert journaled.items() <= spans.items()
    done = world.done()
    assert all(done[run, node] == 1 for _, _, node in journaled), done
    repeated = [node for node in nodes if done[run, node] > 1]
    assert len(repeated) <= 1, f"only the node in flight may be repeated: {done}"
    assert {done[run, node] for node in nodes} <= {1, 2}
    [[crashes, lease]] = weft.rows("SELECT crashes, lease FROM runs")
    assert (crashes, lease) == (1, 4)  # claimed, freed, claimed, ended
    after = [start.timestamp() - killed for _, start, _, _ in spans.values() if start.timestamp() > killed]
    assert min(after) < 3, f"it went on after {min(after):.3f} s"


MIXED_SCRIPT = """\
import os

def main(input):
    marks = [line for line in open(input["world"]).read().splitlines() if line.startswith(input["run"])]
    with open(input["world"], "ab", buffering=0) as world:
        world.write(f"{input['run']} flaky {os.urandom(8).hex()} {os.getpid()}\\n".encode())
    if len(marks) < 1:
        raise RuntimeError("not yet")
"""


def mixed(world: World) -> dict[str, str]:
    light = "- {id: a, uses: set, with: {x: 1}}\n- {id: b, uses: log, with: {message: hello}}"
    call = '- {id: c%d, uses: call, with: {pattern: called, input: {n: "${{ trigger.body.number }}"}}}'
    given = {"run": "${{ run.id }}", "world": str(world.path)}
    flaky = {
        "id": "flaky",
        "uses": "script",
        "with": {"file": "scripts/flaky.py", "input": given},
        "retry": {"attempts": 5, "delay": "100ms", "factor": 1},
    }
    files = {"scripts/flaky.py": MIXED_SCRIPT}
    files |= world.live("light", light)
    files |= world.live("scripts", world.nodes(3, before=0.01))
    files |= {"patterns/called.yaml": pattern("called", world.nodes(2, before=0.01), on={"call": {}})}
    files |= world.live("calls", f"{call % 1}\n{world.node('between')}\n{call % 2}")
    files |= world.live(
        "delays",
        f"{world.node('before')}\n- {{id: d, uses: delay, with: {{for: 300ms}}}}\n{world.node('after')}",
    )
    files |= world.live("retries", f"- {json.dumps(flaky)}\n{world.node('then')}")
    return files


MIX = ("light", "scripts", "calls", "delays", "retries")
EXPECTED = {
    "light": {},
    "scripts": {"n1": 1, "n2": 1, "n3": 1},
    "calls": {"between": 1},
    "called": {"n1": 1, "n2": 1},
    "delays": {"before": 1, "after": 1},
    "retries": {"flaky": 2, "then": 1},
}
RUNS = "SELECT id::text, pattern, status, crashes, error::text, parent_id::text FROM runs"


@pytest.mark.timeout(240)
def test_twenty_killed_workers_cost_no_run(weft: Installation, world: World) -> None:
    world.path.touch()
    weft.push(mixed(world))
    chance = random.Random(20)
    seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    urls = [(name, weft.hook(name)) for name in MIX]
    with Callers(weft, urls, threads=6, pause=0.05) as callers:
        for _ in range(20):
            time.sleep(chance.uniform(0.2, 1.0))
            eventually(lambda: bool(weft.pids("weft-worker")))
            os.kill(chance.choice(weft.pids("weft-worker")), signal.SIGKILL)
            for key, span in completed_spans(weft).items():
                assert seen.setdefault(key, span) == span, f"{key} was written twice"
    assert callers.statuses.keys() == {202}
    assert len(callers.runs) > 300
    weft.await_ends(seconds=90)
    assert callers.runs <= weft.statuses().keys()

    spans = completed_spans(weft)
    assert {key: spans[key] for key in seen} == seen
    done, crashes = world.done(), {run: count for run, _, _, count, _, _ in weft.rows(RUNS)}
    assert sum(crashes.values()) > 5, "the kills met runs in hand"
    assert [row for row in weft.rows(RUNS) if row[2] != "completed"] == []
    for run, name, status, count, _, _ in weft.rows(RUNS):
        if status == "completed":
            check_effects(run, EXPECTED[name], done, crashes=count)


def check_effects(
    run: str, expected: Mapping[str, int], done: Mapping[tuple[str, str], int], *, crashes: int
) -> None:
    """Each node was done as often as it should, and once more at most for each worker that died with it."""
    repeats = {node: done[run, node] - count for node, count in expected.items()}
    assert all(count >= 0 for count in repeats.values()), f"{run} left out {repeats}"
    assert sum(repeats.values()) <= crashes, f"{run} repeated {repeats} after {crashes} crashes"
