"""A server in a process of its own receives and serves 100 MB, and does not grow by it."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import git_server as program
import pytest
from git_clone import Clone

MEGABYTE = 1 << 20
GROWTH = 40 * MEGABYTE


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Process id and URL of the server."""
    folders = [os.getcwd(), os.path.dirname(program.__file__)]
    server = subprocess.Popen(
        [sys.executable, program.__file__, str(tmp_path / "server")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    assert server.stdin is not None
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    yield server.pid, f"http://any:token-of-eve@127.0.0.1:{port}/git/default.git"
    server.stdin.close()
    assert server.wait(10) == 0
    server.stdout.close()


@pytest.mark.chaos
def test_a_hundred_megabytes_go_in_and_out_in_flat_memory(served, tmp_path):
    process, url = served
    clone = Clone.new(tmp_path / "clone", url)
    clone.git("config", "core.compression", "0")
    clone.commit({"first": "1"})
    clone.git("push", "origin", "main")
    before = _peak(process)

    noise = random.Random(1)
    many = {f"many/{number}": noise.randbytes(MEGABYTE // 4) for number in range(160)}
    clone.commit({"large": noise.randbytes(60 * MEGABYTE), **many})
    clone.git("push", "origin", "main")
    received = _peak(process)
    again = Clone.of(tmp_path / "again", url)

    assert again.head() == clone.head()
    assert received - before < GROWTH
    assert _peak(process) - before < GROWTH


def _peak(process: int) -> int:
    """The most memory the process ever had, in bytes."""
    [line] = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024
