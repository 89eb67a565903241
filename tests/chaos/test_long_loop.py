"""A loop over 10,000 items: what is done stays done when its worker is killed, and memory stays small."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from eventually import eventually
from installation import Installation, live

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(280)]

ITEMS = 10_000
SCRIPT = """\
import os

def main(input):
    with open(input["world"], "ab", buffering=0) as world:
        world.write(f"{input['item']}\\n".encode())
    return input["item"]
"""
NODES = """
- id: each
  uses: for-each
  items: ${{ range(%d) }}
  maxParallel: 20
  do:
    - {id: mark, uses: script, with: {file: scripts/mark.py, input: {item: "${{ item }}", world: "%s"}}}
- {id: sum, uses: set, with: {size: "${{ size(nodes.each) }}", last: "${{ nodes.each[9999] }}"}}
"""


def pss(pid: int) -> int:
    """Bytes; none of a process that is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024


def test_a_loop_goes_on_with_the_items_not_yet_done_in_little_memory(
    weft: Installation, tmp_path: Path
) -> None:
    world = weft.folder / "world"
    world.touch(mode=0o666)
    world.chmod(0o666)
    weft.push(live("loop", NODES % (ITEMS, world), timeout="10m") | {"scripts/mark.py": SCRIPT})
    before = max(pss(pid) for pid in weft.pids("weft-worker"))
    status, answer = weft.request("POST", weft.hook("loop"), {})
    assert status == 202
    run = answer["run"]["id"]

    def done() -> int:
        return world.read_bytes().count(b"\n")

    eventually(lambda: done() > ITEMS // 3, seconds=120)
    [[worker]] = weft.rows("SELECT worker FROM runs WHERE id = %s", [run])
    assert worker
    journaled = weft.rows("SELECT path FROM spans WHERE run_id = %s AND status = 'completed'", [run])
    for pid in weft.pids("weft-worker"):
        os.kill(pid, signal.SIGKILL)
    most = 0
    while weft.statuses()[run] not in ("completed", "failed"):
        most = max([most, *(pss(pid) for pid in weft.pids("weft-worker"))])
        time.sleep(0.5)
    [[state, output, crashes]] = weft.rows("SELECT status, output, crashes FROM runs WHERE id = %s", [run])
    assert (state, output, crashes) == ("completed", {"size": ITEMS, "last": ITEMS - 1}, 1)

    marks = world.read_text().split()
    assert set(marks) == {str(item) for item in range(ITEMS)}
    again = [mark for mark in set(marks) if marks.count(mark) > 1] if len(marks) > ITEMS else []
    assert len(marks) - ITEMS <= 20, "only the items that were at work may be done again"
    assert not {f"each[{item}]/mark" for item in again} & {path for (path,) in journaled}
    assert most - before < 100 * 1000 * 1000, f"grew by {(most - before) / 1e6:.0f} MB"
