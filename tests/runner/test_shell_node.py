"""The `shell` node with real programs: what they get, what they give, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.shell import ShellNode
from runner.scripts.commands import Commands
from runner.scripts.output import MAX_LINES
from runner.scripts.zygote import Zygotes
from schemas.errors import ERROR_TYPES

PYTHON = sys.executable


class Files:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        if path not in self.files:
            raise NodeError("missing_asset", f"{path} is not frozen with this version", retryable=False)
        return self.files[path]


class Shell:
    """Runs commands through the node and keeps what they log, with the time at which it came."""

    def __init__(self, commands: Commands) -> None:
        self.node = ShellNode(commands)
        self.files: dict[str, bytes] = {}
        self.lines: list[tuple[str, str]] = []
        self.times: list[float] = []

    def __call__(
        self, *command: Any, timeout: float = 20, cancelled: threading.Event | None = None, **inputs: Any
    ) -> Any:
        context = NodeContext(
            run_id="r1",
            path="node",
            attempt=1,
            idempotency_key="k",
            remaining=lambda: timeout,
            cancelled=cancelled or threading.Event(),
            log=self._log,
            assets=Files(self.files),
            version_id="v1",
        )
        return self.node(context, {"command": list(command), **inputs})

    def _log(self, level: str, text: str) -> None:
        self.lines.append((level, text))
        self.times.append(time.monotonic())

    def error(self, *command: Any, **options: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(*command, **options)
        assert caught.value.type in ERROR_TYPES or caught.value.type == "cancelled"
        return caught.value


@pytest.fixture(scope="module")
def zygotes() -> Iterator[Zygotes]:
    zygotes = Zygotes()
    yield zygotes
    zygotes.close()


@pytest.fixture
def shell(zygotes: Zygotes) -> Shell:
    return Shell(Commands(zygotes))


def comes_true(condition: Callable[[], bool], seconds: float = 2) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# What goes in and what comes out


def test_a_command_gives_what_it_wrote(shell: Shell) -> None:
    result = shell("sh", "-c", "echo out; echo err >&2; printf 'no newline'")
    assert result == {"exitCode": 0, "stdout": "out\nno newline", "stderr": "err\n"}
    assert sorted(shell.lines) == [("info", "no newline"), ("info", "out"), ("warning", "err")]


def test_no_shell_reads_the_arguments(shell: Shell) -> None:
    arguments = ["$HOME", "*", "; echo x", "`id`", "", "ä b", 3, 1.5]
    assert shell("printf", "%s|", *arguments)["stdout"] == "$HOME|*|; echo x|`id`||ä b|3|1.5|"


def test_the_input_is_the_text_or_nothing(shell: Shell) -> None:
    text = "ä\0" * 500_000
    assert (
        shell("sha256sum", stdin=text)["stdout"]
        == subprocess.run(["sha256sum"], input=text.encode(), capture_output=True, check=True).stdout.decode()
    )
    assert shell("cat")["stdout"] == ""
    assert shell("true", stdin="nobody reads this" * 100_000)["exitCode"] == 0


def test_what_is_no_text_is_shown_as_well_as_it_can_be(shell: Shell) -> None:
    assert shell("printf", "a\\377b")["stdout"] == "a\ufffdb"


def test_files_of_the_version_lie_in_the_working_folder(shell: Shell) -> None:
    shell.files = {
        "scripts/run.sh": b"#!/bin/sh\ncat scripts/data/x.txt; ls -R . | wc -l; pwd; echo $HOME $TMPDIR\n",
        "scripts/data/x.txt": b"data\n",
        "top.sh": b"#!/bin/sh\necho top $1\n",
    }
    data, count, *folders = shell("scripts/run.sh", files=["scripts/run.sh", "scripts/data/x.txt"])[
        "stdout"
    ].split()
    assert (data, len(set(folders))) == ("data", 1)
    assert int(count) > 0
    assert comes_true(lambda: not Path(folders[0]).exists())
    assert shell("top.sh", "x", files=["top.sh"])["stdout"] == "top x\n"
    assert shell.error("scripts/run.sh", files=["scripts/other.sh"]).type == "missing_asset"


def test_nothing_of_a_command_is_there_for_the_next(shell: Shell) -> None:
    assert shell("sh", "-c", "echo x > left; ls -A")["stdout"] == "left\n"
    assert shell("ls", "-A")["stdout"] == ""


# What it has of ours


def test_the_environment_is_its_own(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_DATABASE_URL", "postgresql://secret@host/weft")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    lines = shell("env", env={"A": "1", "LANG": "de_DE.UTF-8", "N": 3})["stdout"].splitlines()
    variables = dict(line.split("=", 1) for line in lines)
    assert sorted(variables) == ["A", "HOME", "LANG", "N", "PATH", "TMPDIR"]
    assert (variables["A"], variables["N"], variables["LANG"]) == ("1", "3", "de_DE.UTF-8")


def test_it_inherits_no_descriptor_and_no_rights(shell: Shell) -> None:
    with Path(os.devnull).open() as file:
        os.set_inheritable(file.fileno(), True)
        assert shell(PYTHON, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))")["stdout"] == (
            "['0', '1', '2', '3']\n"  # 3 is the folder that is being listed
        )
    status = shell("cat", "/proc/self/status")["stdout"]
    assert "NoNewPrivs:\t1" in status
    ignored = int(status.partition("SigIgn:\t")[2].split()[0], 16)
    assert ignored & 0x7FFF_FFFF == 0, "the two behind these are glibc's own: nobody can set them"
    assert "SigBlk:\t0000000000000000" in status


def test_it_leads_a_session_of_its_own(shell: Shell) -> None:
    source = "import os; print(os.getpid() == os.getsid(0) == os.getpgrp())"
    assert shell(PYTHON, "-c", source)["stdout"] == "True\n"


# How it fails


@pytest.mark.parametrize(
    ("command", "inputs", "type_", "message", "retryable"),
    [
        (["sh", "-c", "echo why >&2; exit 3"], {}, "shell_exit", "sh ended with exit code 3: why", True),
        (["false"], {}, "shell_exit", "false ended with exit code 1", True),
        (["sh", "-c", "kill -9 $$"], {}, "shell_exit", "sh was killed by SIGKILL", True),
        (["no-such-command"], {}, "shell_not_found", "there is no command no-such-command on the PATH", False),
        (["scripts/x.sh"], {}, "shell_not_found", "there is no scripts/x.sh, or not the program", False),
        (["/etc"], {}, "shell_not_found", "/etc cannot be executed: Permission denied", False),
        (["broken"], {"files": ["broken"]}, "shell_not_found", "./broken cannot be executed: Exec format", False),
        (["bad.sh"], {"files": ["bad.sh"]}, "shell_not_found", "there is no ./bad.sh, or not the program", False),
        (["head", "-c", "2000", "/dev/zero"], {"maxOutput": "1kB"}, "shell_output",
         "head wrote more than 1,000 bytes to its standard output", True),
        (["yes"], {}, "shell_output", "yes wrote more than 1,048,576 bytes", True),
        (["echo", None], {}, "bad_command", 'item 2 of "command" must be text, not null', False),
        (["echo", ["a"]], {}, "bad_command", 'item 2 of "command" must be text, not a list', False),
        (["echo", "a\0b"], {}, "bad_command", 'item 2 of "command" holds a NUL character', False),
        ([""], {}, "bad_command", 'item 1 of "command" is empty', False),
        ([], {}, "bad_command", '"command" must be a list that begins with a program', False),
        (["env"], {"env": [1]}, "bad_command", '"env" must be a mapping, not a list', False),
        (["env"], {"env": {"A=B": "x"}}, "bad_command", "'A=B' cannot be the name of a variable", False),
        (["env"], {"env": {"A": {}}}, "bad_command", '"env": A must be text, not a mapping', False),
        (["cat"], {"stdin": {"a": 1}}, "bad_command", '"stdin" must be text, not a mapping', False),
        (["cat"], {"maxOutput": "5MiB"}, "bad_command", "at most 4MiB are allowed", False),
        (["sleep", "60"], {"timeout": 0.2}, "timeout", "sleep did not end within 0.2 s", True),
        (["sleep", "60"], {"timeout": 0}, "timeout", "sleep did not end within 0 s", True),
        (["sh", "-c", "kill -9 $PPID; sleep 60"], {}, "shell_crashed", "killed by SIGKILL", True),
    ],
)  # fmt: skip
def test_every_way_to_fail_is_a_clear_error(
    shell: Shell, command: list[Any], inputs: dict[str, Any], type_: str, message: str, retryable: bool
) -> None:
    shell.files = {"broken": b"neither text nor program\n\xff\x00", "bad.sh": b"#!/no/such/interpreter\n"}
    error = shell.error(*command, **inputs)
    assert (error.type, error.retryable) == (type_, retryable)
    assert message in error.message


def test_an_error_tells_the_end_of_what_was_written(shell: Shell) -> None:
    error = shell.error("sh", "-c", "seq 100000 >&2; exit 1", maxOutput="1kB")
    assert error.message.endswith("99999\n100000")
    assert len(error.message) < 1_100


def test_a_flood_on_the_standard_error_fails_nothing(shell: Shell) -> None:
    result = shell("sh", "-c", "seq 100000 >&2; echo done", maxOutput="1kB")
    assert result["stdout"] == "done\n"
    assert result["stderr"].endswith("99999\n100000\n")
    assert len(result["stderr"]) == 1_000
    assert len(shell.lines) == MAX_LINES
    assert "more output was dropped" in shell.lines[-1][1]


def test_four_mebibytes_of_what_json_writes_longest_come_back(shell: Shell) -> None:
    size = 4 * 1024 * 1024
    result = shell("head", "-c", str(size), "/dev/zero", maxOutput="4MiB")
    assert result["stdout"] == "\0" * size


def test_lines_come_while_the_command_runs(shell: Shell) -> None:
    shell("sh", "-c", "echo first; sleep 0.5; echo second")
    assert [text for _, text in shell.lines] == ["first", "second"]
    assert shell.times[1] - shell.times[0] > 0.4


# What is left of it

FAMILY = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
def away(double):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if double and os.fork():
            os._exit(0)
        os.chdir("/")
        for descriptor in (0, 1, 2):
            os.close(descriptor)
        if os.path.exists(sys.argv[1]):
            with open(sys.argv[1], "a") as file:
                print(os.getpid(), file=file)
        os.execve("/bin/sleep", ["sleep", "600"], {})
away(False)
away(True)
child = subprocess.Popen(["sh", "-c", "sleep 601 & sleep 602"], start_new_session=True)
with open(sys.argv[1], "a") as file:
    print(child.pid, os.getpid(), file=file)
time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Path]:
    pids = tmp_path / "pids"
    pids.touch()
    yield pids
    for pid in map(int, pids.read_text().split()):
        if runs(pid) and "sleep" in Path(f"/proc/{pid}/cmdline").read_text():
            os.kill(pid, signal.SIGKILL)


def members(family: Path) -> list[int]:
    return [int(pid) for pid in family.read_text().split()]


@pytest.mark.parametrize("how", ["end", "timeout", "cancel"])
def test_children_that_made_sessions_of_their_own_end_with_the_command(
    shell: Shell, family: Path, how: str
) -> None:
    cancelled = threading.Event()
    lasts = "0.5" if how == "end" else "600"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            shell, PYTHON, "-c", FAMILY, str(family), lasts,
            timeout=0.7 if how == "timeout" else 60, cancelled=cancelled,
        )  # fmt: skip
        assert comes_true(lambda: len(members(family)) == 4)
        alive = [runs(pid) for pid in members(family)]
        began = time.monotonic()
        if how == "cancel":
            cancelled.set()
        error = running.exception()
    assert all(alive)
    assert comes_true(lambda: not any(map(runs, members(family))))
    assert time.monotonic() - began < 2
    assert (error is None) == (how == "end")


def test_a_child_in_the_background_does_not_hold_the_command_up(shell: Shell) -> None:
    began = time.monotonic()
    assert shell("sh", "-c", "sleep 600 & echo $!")["exitCode"] == 0
    assert time.monotonic() - began < 2
    assert not runs(int(shell.lines[0][1]))


def test_what_a_child_writes_right_after_the_command_is_not_lost(shell: Shell) -> None:
    assert shell("sh", "-c", "(sleep 0.05; echo late) & echo early")["stdout"] == "early\nlate\n"


WORKER = """
import sys, threading
from runner.scripts.commands import Command, Commands
from runner.scripts.zygote import Zygotes
command = Command(arguments=tuple(sys.argv[1:]), environment={}, files={}, stdin=None, limit=1000)
Commands(Zygotes()).run(command, timeout=600, cancelled=threading.Event(), log=print)
"""


def test_a_command_ends_with_a_worker_that_is_killed(family: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    worker = subprocess.Popen(
        [PYTHON, "-c", WORKER, PYTHON, "-c", FAMILY, str(family), "600"], env=environment
    )
    assert comes_true(lambda: len(members(family)) == 4, seconds=10)
    worker.kill()
    worker.wait()
    assert comes_true(lambda: not any(map(runs, members(family))))


def test_sixteen_commands_run_at_the_same_time(shell: Shell) -> None:
    began = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: shell("sh", "-c", f"sleep 0.3; echo {n}")["stdout"], range(32)))
    assert results == [f"{n}\n" for n in range(32)]
    assert time.monotonic() - began < 5


def test_a_command_begins_fast(shell: Shell) -> None:
    """5 ms where it was measured; ten times that is something broken, not a slow machine."""
    times = []
    for _ in range(20):
        began = time.perf_counter()
        shell("true")
        times.append(time.perf_counter() - began)
    assert sorted(times)[10] < 0.05
