"""`weft demo` as people run it: the whole tour, and what is left of it afterwards, which is nothing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.demo import examples_folder

ROOT = Path(__file__).parent.parent.parent
WEFT = "from cli.main import main; main()"
LAST_WORDS = "Ctrl-C stops it"


@pytest.fixture
def folder() -> Iterator[Path]:
    """TMPDIR of the demo: its name is in the command line or the environment of all that the demo starts."""
    found = Path(tempfile.mkdtemp(prefix="weft-test-demo-"))
    found.chmod(0o711)
    yield found
    shutil.rmtree(found, ignore_errors=True)


def start(folder: Path, *arguments: str, program: str = WEFT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, "demo", *arguments],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C of a terminal reaches its whole process group: so may the test
    )


def finish(demo: subprocess.Popen[str]) -> tuple[str, str]:
    try:
        return demo.communicate(timeout=60)
    finally:
        demo.kill()
        demo.wait()
        for stream in (demo.stdout, demo.stderr):
            assert stream is not None
            stream.close()


def read_until(demo: subprocess.Popen[str], words: str) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if words in line:
            return
    pytest.fail(f"it ended before it said {words!r}: {finish(demo)}")


def left_of(folder: Path) -> list[str]:
    """What still runs of it."""
    name, found = str(folder).encode(), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            told = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if name in told and state != "Z":
            found.append(f"{process.name}: {(process / 'cmdline').read_bytes()!r}")
    return found


def wait_until_nothing_is_left_of(folder: Path) -> None:
    deadline = time.monotonic() + 20
    while left_of(folder):
        assert time.monotonic() < deadline, left_of(folder)
        time.sleep(0.05)


def test_the_tour_goes_from_push_to_rollback_and_leaves_nothing(folder: Path) -> None:
    demo = start(folder, "--exit")
    said, complained = finish(demo)
    assert (demo.returncode, complained) == (0, ""), said
    for words in (
        "order-intake    v1  live in",
        '{"handled_by":"web shop","order_id":"A-1001"}',
        "-    threshold: 500",
        "+    threshold: 100",
        "v1 → v2",
        '{"handled_by":"sales","order_id":"A-1001"}',
        "v2 → v1",
        "completed on v2",
    ):
        assert words in said
    assert said.count("completed on v1") == 2
    assert "\x1b" not in said, "plain where it is no terminal"
    wait_until_nothing_is_left_of(folder)
    assert list(folder.iterdir()) == []


def test_ctrl_c_ends_it_well(folder: Path) -> None:
    demo = start(folder)
    read_until(demo, LAST_WORDS)
    os.killpg(demo.pid, signal.SIGINT)
    _, complained = finish(demo)
    assert (demo.returncode, complained) == (0, "")
    wait_until_nothing_is_left_of(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.chaos
def test_whoever_kills_it_kills_all_of_it(folder: Path) -> None:
    demo = start(folder)
    read_until(demo, LAST_WORDS)
    demo.kill()
    finish(demo)
    wait_until_nothing_is_left_of(folder)


@pytest.mark.parametrize("moment", [0.0, 0.3, 0.8])
def test_a_request_to_end_while_it_starts_is_heard(folder: Path, moment: float) -> None:
    demo = start(folder)
    read_until(demo, "a push is the deployment")
    time.sleep(moment)  # the servers are on their way up
    demo.terminate()
    finish(demo)
    assert demo.returncode == 128 + signal.SIGTERM
    wait_until_nothing_is_left_of(folder)
    assert list(folder.iterdir()) == []


def test_a_step_that_fails_ends_it_and_says_which_and_why(folder: Path) -> None:
    broken = folder / "broken"
    shutil.copytree(examples_folder(), broken)
    pattern = broken / "patterns" / "order-intake.yaml"
    pattern.write_text(pattern.read_text().replace("uses: call", "uses: cal"))
    patch = f"import cli.demo, pathlib; cli.demo.examples_folder = lambda: pathlib.Path({str(broken)!r}); "
    demo = start(folder, "--exit", program=patch + WEFT)
    said, complained = finish(demo)
    assert demo.returncode == 1
    assert "✗  Push the examples" in said
    assert "patterns/order-intake.yaml:36:" in complained
    wait_until_nothing_is_left_of(folder)
