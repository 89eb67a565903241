"""A controller that dies at any step of a firing loses no slot and doubles none."""

from __future__ import annotations

import subprocess
import sys

import pytest
from eventually import eventually
from running import Running, sweeper, worker
from ticking import fired, query, scheduled, scheduling

# What it is killed before (-) or behind (+).
STEPS = [
    "-store.schedules.hold",
    "+store.schedules.hold",
    "-store.slots.add",
    "+store.slots.add",
    "+store.admission.admit",
    "+store.schedules.advance",
    "-runner.scheduler.Scheduler._ring",
    "+runner.scheduler.Scheduler._ring",
]

VICTIM = """
import functools, importlib, os, signal, sys, threading
step, url, broker = sys.argv[1:]
place, _, name = step[1:].rpartition(".")
from runner.scheduler import Scheduler
owner = Scheduler if place.endswith("Scheduler") else importlib.import_module(place)
real = getattr(owner, name)

@functools.wraps(real)
def lethal(*arguments, **more):
    if step[0] == "+":
        real(*arguments, **more)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, lethal)
from store.database import Database
Scheduler(Database(url), broker).run(threading.Event())
"""


def die(running: Running, step: str) -> None:
    command = [sys.executable, "-c", VICTIM, step, running.database.url, running.redis_url]
    assert subprocess.run(command, timeout=30, check=False).returncode == -9


@pytest.mark.chaos
@pytest.mark.parametrize("overlap", ["allow", "queue"])
def test_killed_at_every_step_of_a_firing(running: Running, overlap: str) -> None:
    scheduled(running, "beat", {"every": "1s", "overlap": overlap, "catchUp": "1h"})
    for step in STEPS:
        die(running, step)
    with scheduling(running, 2), worker(running), sweeper(running):
        count = len(fired(running))
        eventually(lambda: len(fired(running)) > count + 3)
        eventually(lambda: not query(running, "SELECT 1 FROM slots WHERE open AND run_id IS NULL"))
    with worker(running), sweeper(running):
        eventually(lambda: not query(running, "SELECT 1 FROM runs WHERE ended_at IS NULL"))
    rows = query(running, "SELECT extract(epoch FROM at)::bigint, refused FROM slots ORDER BY at")
    assert [row[0] for row in rows] == list(range(rows[0][0], rows[-1][0] + 1))
    assert {row[1] for row in rows} == {None}
    assert len(fired(running)) == len(set(fired(running))) == len(rows)
