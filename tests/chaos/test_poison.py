"""A run that takes its workers with it: it ends, and those beside it are not harmed."""

from __future__ import annotations

import pytest
from callers import World
from eventually import eventually
from installation import Installation, live

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

POISON = """\
import os, signal

def main(input):
    # The script's process comes from the zygote, and that from the worker.
    with open(f"/proc/{os.getppid()}/stat") as stat:
        worker = int(stat.read().rpartition(")")[2].split()[1])
    with open(input["world"], "ab", buffering=0) as world:
        world.write(f"{input['run']} poison {worker:x} {os.getpid()}\\n".encode())
    os.kill(worker, signal.SIGKILL)
"""


def test_a_run_that_kills_its_worker_three_times_is_a_dead_letter_and_harms_nobody(
    weft: Installation, world: World
) -> None:
    given = '{run: "${{ run.id }}", world: "' + str(world.path) + '"}'
    poison = "- {id: p, uses: script, with: {file: scripts/poison.py, input: " + given + "}}"
    weft.push(
        world.live("slow", world.nodes(3, before=0.4, after=0.1))
        | {"scripts/poison.py": POISON}
        | live("poison", poison)
    )
    beside = [weft.request("POST", weft.hook("slow"), {})[1]["run"]["id"] for _ in range(8)]
    run = weft.request("POST", weft.hook("poison"), {})[1]["run"]["id"]
    more = [weft.request("POST", weft.hook("slow"), {})[1]["run"]["id"] for _ in range(8)]
    ends = weft.await_ends({run, *beside, *more}, seconds=60)
    assert ends.pop(run) == "dead_letter"
    assert set(ends.values()) == {"completed"}
    [[crashes, error]] = weft.rows(f"SELECT crashes, error ->> 'type' FROM runs WHERE id = '{run}'")
    assert (crashes, error) == (3, "worker_crashed")
    killed = [effect.nonce for effect in world.effects() if effect.run == run]
    assert len(set(killed)) == 3
    assert weft.rows("SELECT run_id::text, error_type FROM dead_letters") == [(run, "worker_crashed")]
    worst = weft.rows(f"SELECT max(crashes) FROM runs WHERE id <> '{run}'")[0][0]
    assert worst <= 2, "the third crash met nobody else"
    eventually(lambda: not weft.rows("SELECT 1 FROM runs WHERE ended_at IS NULL"))
