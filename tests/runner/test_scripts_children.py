"""A script whose run ends leaves no child behind, however well the child has hidden itself."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.script import ScriptNode
from runner.scripts.hosts import ScriptHosts

SECONDS = 2
"""After this, nothing may be left."""

HIDERS = """
import os, signal, subprocess, sys, time

def tell(file):
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b"%d\\n" % os.getpid())
    os.close(descriptor)

def hide(file, *, double, generations=1):
    if os.fork():
        return
    try:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        os.setsid()
        if double and os.fork():
            os._exit(0)
        os.chdir("/")
        os.closerange(0, 100)
        if generations > 1:
            hide(file, double=double, generations=generations - 1)
        tell(file)
        os.execve("/bin/sleep", ["sleep", "600"], {})
    finally:
        os._exit(1)

def main(value):
    file = value["file"]
    tell(file)
    hide(file, double=False)
    hide(file, double=True)
    hide(file, double=True, generations=3)
    shell = "sleep 601 & echo $! >> $0; echo $$ >> $0; sleep 602"
    subprocess.Popen(["sh", "-c", shell, file], start_new_session=True)
    subprocess.Popen(["sh", "-c", "kill -STOP $$"], start_new_session=True)
    if value["then"] == "exit":
        os._exit(3)
    if value["then"] == "raise":
        time.sleep(0.5)
        raise ValueError("after all")
    if value["then"] == "loop":
        while True:
            pass
    time.sleep(600)
"""
BORN = 1 + 1 + 1 + 3 + 2  # whoever tells its pid


def context(cancelled: threading.Event, timeout: float) -> NodeContext:
    return NodeContext(
        run_id="r1",
        path="node",
        attempt=1,
        idempotency_key="k",
        remaining=lambda: timeout,
        cancelled=cancelled,
        log=lambda level, text, **fields: None,
        assets=None,  # type: ignore[arg-type]
        version_id="v1",
    )


class Family:
    """A call of the script node, and the pids that it and its children told."""

    def __init__(self, hosts: ScriptHosts, file: Path) -> None:
        self._node = ScriptNode(hosts)
        self._file = file
        self._file.touch()
        self.cancelled = threading.Event()

    def begin(self, pool: ThreadPoolExecutor, then: str, timeout: float = 60) -> Future[Any]:
        inputs = {"code": HIDERS, "input": {"file": str(self._file), "then": then}}
        return pool.submit(self._node, context(self.cancelled, timeout), inputs)

    def pids(self) -> list[int]:
        return [int(pid) for pid in self._file.read_text().split()]

    def alive(self) -> list[int]:
        return [pid for pid in self.pids() if runs(pid)]


@pytest.fixture
def hosts() -> Iterator[ScriptHosts]:
    with ScriptHosts() as hosts:
        yield hosts


@pytest.fixture
def family(hosts: ScriptHosts, tmp_path: Path) -> Iterator[Family]:
    family = Family(hosts, tmp_path / "pids")
    yield family
    for pid in family.alive():
        if "sleep" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def comes_true(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("then", ["sleep", "loop"])
def test_cancelling_leaves_no_child_of_a_script(family: Family, then: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = family.begin(pool, then)
        assert comes_true(lambda: len(family.pids()) == BORN, 10)
        assert len(family.alive()) == BORN
        family.cancelled.set()
        began = time.monotonic()
        error = running.exception()
    assert isinstance(error, NodeError)
    assert error.type == "cancelled"
    assert comes_true(lambda: not family.alive(), SECONDS - (time.monotonic() - began)), family.alive()


@pytest.mark.parametrize(
    ("then", "type_"), [("exit", "script_crashed"), ("raise", "script_error"), ("sleep", "timeout")]
)
def test_no_child_outlives_a_script_that_ends_by_itself_or_by_its_timeout(
    family: Family, then: str, type_: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        error = family.begin(pool, then, timeout=1.5).exception()
    assert isinstance(error, NodeError)
    assert error.type == type_
    if then != "exit":
        assert len(family.pids()) == BORN
    assert comes_true(lambda: not family.alive(), SECONDS), family.alive()


def test_the_end_of_one_script_leaves_the_children_of_another_alone(
    hosts: ScriptHosts, family: Family, tmp_path: Path
) -> None:
    other = Family(hosts, tmp_path / "other")
    with ThreadPoolExecutor(2) as pool:
        running = [family.begin(pool, "sleep"), other.begin(pool, "sleep")]
        assert comes_true(lambda: len(family.pids()) == len(other.pids()) == BORN, 10)
        family.cancelled.set()
        assert comes_true(lambda: not family.alive(), SECONDS)
        assert len(other.alive()) == BORN
        other.cancelled.set()
        assert comes_true(lambda: not other.alive(), SECONDS)
        assert [one.exception().type for one in running] == ["cancelled", "cancelled"]  # type: ignore[union-attr]


def test_a_child_that_forks_on_and_on_is_caught(hosts: ScriptHosts, tmp_path: Path) -> None:
    """Each generation leaves the one before, so that nobody knows whose it was."""
    beat = tmp_path / "beat"
    beat.touch()
    source = f"""
import os, time
def main(value):
    if os.fork() == 0:
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
            os.setsid()
            with open({str(beat)!r}, "a") as file:
                file.write("x")
            time.sleep(0.002)
    time.sleep(600)
"""
    cancelled = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ScriptNode(hosts), context(cancelled, 60), {"code": source})
        assert comes_true(lambda: beat.stat().st_size > 20, 10)
        cancelled.set()
        assert running.exception() is not None
    time.sleep(0.5)
    size = beat.stat().st_size
    time.sleep(0.5)
    assert beat.stat().st_size == size
