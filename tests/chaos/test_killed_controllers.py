"""The controller and the database die again and again: every slot has its run, none has two."""

from __future__ import annotations

import os
import signal
import time

import pytest
from eventually import eventually
from installation import Installation, live

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

NODES = "- {id: a, uses: set, with: {at: '${{ trigger.time }}'}}"


def fired(weft: Installation) -> list[int]:
    """The seconds of the slots whose runs have completed."""
    sql = """SELECT extract(epoch FROM (trigger->>'time')::timestamptz)::bigint FROM runs
             WHERE trigger_kind = 'schedule' AND status = 'completed' ORDER BY 1"""
    return [row[0] for row in weft.rows(sql)]


def kill(weft: Installation, name: str) -> None:
    [victim] = weft.pids(name)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: weft.pids(name) not in ([], [victim]))


def test_a_schedule_of_every_second_has_each_slot_once_whatever_dies(weft: Installation) -> None:
    files = live("beat", NODES, on={"schedule": [{"every": "1s", "catchUp": "1h"}]})
    weft.push(files)
    eventually(lambda: len(fired(weft)) >= 2)
    for victim in ("weft-controller", "postgres", "weft-controller", "valkey-server", "weft-controller"):
        kill(weft, victim)
        time.sleep(1.2)
    eventually(lambda: weft.request("GET", "/readyz")[0] == 200)
    weft.stop()
    time.sleep(2)
    weft.start()
    count = len(fired(weft))
    eventually(lambda: len(fired(weft)) > count + 5, seconds=40)
    eventually(
        lambda: (
            not weft.rows("SELECT 1 FROM runs WHERE ended_at IS NULL AND created_at < now() - interval '3 s'")
        )
    )
    slots = weft.rows("SELECT extract(epoch FROM at)::bigint, run_id::text, refused FROM slots ORDER BY at")[
        :-5
    ]
    assert [slot[0] for slot in slots] == list(range(slots[0][0], slots[-1][0] + 1))
    assert {slot[2] for slot in slots} == {None}
    assert len({slot[1] for slot in slots}) == len(slots)
    assert fired(weft)[: len(slots)] == [slot[0] for slot in slots]
