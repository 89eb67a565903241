"""User code in warm processes: what it may do, how it ends, and that nothing of it stays."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from runner.nodes.base import NodeContext, NodeError
from runner.nodes.script import ScriptNode
from runner.scripts.host_main import MAX_RESULT
from runner.scripts.hosts import ScriptCall, ScriptHosts
from runner.scripts.output import MAX_BYTES, MAX_LINES

PID = "import os\ndef main(value):\n    return os.getpid()\n"
PARENT = "import os\ndef main(value):\n    return os.getppid()\n"


class Caller:
    """Calls scripts and keeps what they log."""

    def __init__(self, hosts: ScriptHosts) -> None:
        self.hosts = hosts
        self.lines: list[tuple[str, str]] = []

    def __call__(
        self,
        source: str,
        value: Any = None,
        *,
        version: str = "v1",
        timeout: float = 10,
        cancelled: threading.Event | None = None,
        function: str = "main",
    ) -> Any:
        call = ScriptCall(
            version=version, file="scripts/x.py", source=dedent(source), function=function, input=value
        )
        return self.hosts.call(
            call,
            timeout=timeout,
            cancelled=cancelled or threading.Event(),
            log=lambda level, text: self.lines.append((level, text)),
        )

    def error(self, source: str, value: Any = None, **options: Any) -> NodeError:
        with pytest.raises(NodeError) as caught:
            self(source, value, **options)
        return caught.value


@pytest.fixture
def script() -> Iterator[Caller]:
    with ScriptHosts() as hosts:
        yield Caller(hosts)


def comes_true(condition: Callable[[], bool], seconds: float = 5) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def runs(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def end(pid: int, how: signal.Signals) -> None:
    """Signal one process of the test's own."""
    assert pid > 1
    assert "zygote_main" in Path(f"/proc/{pid}/cmdline").read_text()
    os.kill(pid, how)


# What goes in and what comes out


def test_a_function_gets_the_input_and_gives_json(script: Caller) -> None:
    value = {"a": [1, 2.5, "ä", None, True], "b": {}, "long": "x" * 300_000}
    assert script("def main(value):\n    return {'got': value, 'tuple': (1, 2)}", value) == {
        "got": value,
        "tuple": [1, 2],
    }


def test_another_function_of_the_file_can_be_named(script: Caller) -> None:
    assert script("def total(value):\n    return sum(value)", [1, 2], function="total") == 3
    error = script.error("def total(value):\n    return 1")
    assert (error.type, error.message) == ("script_error", "scripts/x.py has no function 'main'")
    assert not error.retryable


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ("{1, 2}", "a value of type set"),
        ("{'a': [object()]}", "a value of type object"),
        ("float('nan')", "Out of range float values are not JSON compliant"),
        ("{(1, 2): 3}", "keys must be str, int, float, bool or None, not tuple"),
        ("2 ** 70", "Integer exceeds 64-bit range"),
        ("'\\ud800'", "surrogates not allowed"),
        ("(lambda x: x.append(x) or x)([])", "Circular reference detected"),
    ],
)
def test_a_result_that_is_not_json_is_refused_with_the_reason(
    script: Caller, returned: str, problem: str
) -> None:
    error = script.error(f"def main(value):\n    return {returned}")
    assert error.type == "script_error"
    assert error.message.startswith("main returned something that is not JSON: ")
    assert problem in error.message
    assert not error.retryable


def test_a_result_may_have_eight_mebibytes_and_no_byte_more(script: Caller) -> None:
    source = "def main(value):\n    return 'x' * value"
    assert len(script(source, MAX_RESULT - 2)) == MAX_RESULT - 2
    assert "8,388,609 bytes of JSON; 8,388,608 are allowed" in script.error(source, MAX_RESULT - 1).message
    assert script(source, 1) == "x"


# What it prints


def test_prints_become_log_lines_in_order(script: Caller) -> None:
    script(
        """
        import sys
        def main(value):
            print("one\\ntwo")
            print("bad", file=sys.stderr)
            sys.stdout.buffer.write(b"raw\\n")
            print("\\ud800 ü")
            print("no newline", end="")
        """
    )
    assert script.lines == [
        ("info", "one"),
        ("info", "two"),
        ("error", "bad"),
        ("info", "raw"),
        ("info", "\\ud800 ü"),
        ("info", "no newline"),
    ]


def test_lines_arrive_while_the_script_runs(script: Caller) -> None:
    cancelled = threading.Event()
    source = "import time\ndef main(value):\n    print('here')\n    time.sleep(60)"
    call = ScriptCall(version="v1", file="x.py", source=source, function="main", input=None)
    with pytest.raises(NodeError, match="stopped"):
        script.hosts.call(call, timeout=30, cancelled=cancelled, log=lambda *_: cancelled.set())


def test_a_flood_of_lines_is_cut_off_and_said_to_be(script: Caller) -> None:
    assert script("def main(value):\n    for n in range(100_000): print(n)\n    return 'done'") == "done"
    assert len(script.lines) == MAX_LINES
    assert "more output was dropped" in script.lines[-1][1]
    script.lines.clear()
    script("def main(value):\n    print('again')")
    assert script.lines == [("info", "again")]


def test_a_flood_of_bytes_is_cut_off(script: Caller) -> None:
    script("def main(value):\n    for n in range(1000): print('x' * 3000)")
    assert sum(len(text) for _, text in script.lines) < MAX_BYTES + 1000
    script.lines.clear()
    script("def main(value):\n    print('y' * 10_000_000, end='')")
    [(_, text)] = script.lines
    assert len(text) < 5_000
    assert "bytes more were cut" in text


def test_a_script_that_closes_its_output_does_no_harm(script: Caller) -> None:
    assert script("import sys\ndef main(value):\n    sys.stdout.close()\n    return 1") == 1
    assert script("def main(value):\n    print('again')\n    return 2") == 2
    assert script.lines == [("info", "again")]


# How it fails


def test_an_exception_is_told_with_the_users_frames_only(script: Caller) -> None:
    error = script.error(
        """
        import json
        def read(text):
            return json.loads(text)

        def main(value):
            try:
                return read(value)
            except ValueError as problem:
                raise RuntimeError("cannot read it") from problem
        """,
        "{",
    )
    assert error.type == "script_error"
    assert error.retryable
    assert error.message.splitlines()[0] == "RuntimeError: cannot read it (scripts/x.py:10)"
    assert 'File "scripts/x.py", line 4, in read\n    return json.loads(text)' in error.message
    assert "JSONDecodeError: Expecting property name" in error.message
    assert "decoder.py" not in error.message
    assert "host_main" not in error.message


def test_a_syntax_error_names_the_line(script: Caller) -> None:
    error = script.error("def main(value)\n    return 1")
    assert error.type == "script_error"
    assert error.message.startswith("SyntaxError: expected ':'")
    assert 'File "scripts/x.py", line 1' in error.message


def test_an_endless_recursion_gives_a_short_traceback(script: Caller) -> None:
    error = script.error("def main(value):\n    return main(value)")
    assert error.message.startswith("RecursionError: maximum recursion depth exceeded")
    assert len(error.message) < 10_000


def test_a_file_whose_top_level_fails_is_run_again(script: Caller) -> None:
    source = """
        import sys
        if not hasattr(sys, "second"):
            sys.second = True
            raise OSError("not yet")
        def main(value):
            return "loaded"
        """
    assert script.error(source).message.startswith("OSError: not yet (scripts/x.py:5)")
    assert script(source) == "loaded"


@pytest.mark.parametrize(
    ("body", "type_", "message"),
    [
        ("sys.exit('no')", "script_error", "the script called sys.exit('no')"),
        ("os._exit(3)", "script_crashed", "exit code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "script_crashed", "killed by SIGSEGV"),
        ("os.abort()", "script_crashed", "killed by SIGABRT"),
        ("os.closerange(3, 100)", "script_crashed", "its connection to the worker broke"),
        ("os.write(3, b'\\x7f' * 10)", "script_crashed", "wrote to the channel"),
        ("raise KeyboardInterrupt", "script_error", "KeyboardInterrupt (scripts/x.py:"),
    ],
)
def test_every_way_to_end_early_is_a_clear_error(script: Caller, body: str, type_: str, message: str) -> None:
    error = script.error(f"import os, signal, sys\ndef main(value):\n    {body}")
    assert error.type == type_
    assert message in error.message
    assert script("def main(value):\n    return 'next'") == "next"


def test_too_much_memory_is_refused_to_the_script_alone() -> None:
    with ScriptHosts(memory=100 * 1024 * 1024) as hosts:
        script = Caller(hosts)
        error = script.error("def main(value):\n    kept = [bytearray(10**6) for n in range(1000)]")
        assert error.type == "script_error"
        assert error.message.startswith("MemoryError (scripts/x.py:2)")
        assert "memory" in error.hint
        assert script("def main(value):\n    return len(bytearray(50 * 10**6))") == 50 * 10**6


# Time


def test_an_endless_loop_ends_at_its_timeout_and_its_process_with_it(script: Caller) -> None:
    pid = script(PID)
    began = time.monotonic()
    error = script.error("def main(value):\n    while True: pass", timeout=0.3)
    assert (error.type, error.message) == ("timeout", "main of scripts/x.py did not return within 0.3 s")
    assert time.monotonic() - began < 1
    assert comes_true(lambda: not runs(pid))
    assert script(PID) != pid


def test_no_time_left_is_a_timeout(script: Caller) -> None:
    assert script.error(PID, timeout=-1).type == "timeout"


def test_cancelling_ends_the_whole_group_at_once(script: Caller) -> None:
    cancelled = threading.Event()
    source = """
        import os, subprocess, time
        def main(value):
            child = subprocess.Popen(["sleep", "600"])
            print(os.getpid(), child.pid)
            time.sleep(600)
        """
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(script.error, source, cancelled=cancelled, timeout=60)
        assert comes_true(lambda: bool(script.lines))
        began = time.monotonic()
        cancelled.set()
        assert future.result().type == "cancelled"
    assert time.monotonic() - began < 0.5
    assert all_end(script.lines[0][1].split())


def all_end(pids: list[Any]) -> bool:
    return all(comes_true(partial(ended, int(pid))) for pid in pids)


def ended(pid: int) -> bool:
    return not runs(pid)


# What the process is like


def test_the_process_has_nothing_of_ours(script: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEFT_ADMIN_TOKEN", "secret-1")
    monkeypatch.setenv("PGPASSWORD", "secret-2")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    try:
        seen = script(
            """
            import os
            def main(value):
                listing = os.open("/proc/self/fd", os.O_RDONLY)
                names = [int(name) for name in os.listdir(listing) if int(name) != listing]
                os.close(listing)
                numbers = [n for n in names if os.path.lexists(f"/proc/self/fd/{n}")]
                return {
                    "environ": dict(os.environ),
                    "initial": open("/proc/self/environ").read(),
                    "parent": open(f"/proc/{os.getppid()}/environ").read(),
                    "descriptors": [os.readlink(f"/proc/self/fd/{n}") for n in sorted(numbers)],
                    "leads": os.getpid() == os.getsid(0) == os.getpgid(0),
                    "folder": [os.getcwd(), os.stat(".").st_mode & 0o777],
                    "status": open("/proc/self/status").read(),
                    "limits": open("/proc/self/limits").read(),
                }
            """
        )
    finally:
        os.close(reader)
        os.close(writer)
    assert sorted(seen["environ"]) == ["HOME", "LANG", "PATH", "TMPDIR"]
    assert "secret" not in seen["initial"] + seen["parent"]
    assert "WEFT" not in seen["initial"] + seen["parent"]
    *standard, channel = seen["descriptors"]
    assert standard == [os.devnull] * 3
    assert channel.startswith("socket:")
    assert seen["leads"]
    assert seen["folder"] == [seen["environ"]["HOME"], 0o700]
    assert seen["environ"]["HOME"] == seen["environ"]["TMPDIR"]
    assert "NoNewPrivs:\t1" in seen["status"]
    assert re.search(r"Max core file size +0 +0 ", seen["limits"])


def test_a_version_keeps_its_process_and_its_globals(script: Caller) -> None:
    source = (
        "import os\ncalls = []\ndef main(value):\n    calls.append(value)\n    return [os.getpid(), calls]"
    )
    first = script(source, 1)
    assert script(source, 2) == [first[0], [1, 2]]


def test_versions_never_share_a_process(script: Caller) -> None:
    script("import sys\ndef main(value):\n    sys.mark = value", "mine", version="v1")
    look = "import sys\ndef main(value):\n    return getattr(sys, 'mark', None)"
    assert script(look, version="v2") is None
    assert script(look, version="v1") == "mine"


def test_random_numbers_differ_between_processes(script: Caller) -> None:
    source = "import random\ndef main(value):\n    return random.random()"
    assert len({script(source, version=f"v{n}") for n in range(5)}) == 5


def test_files_of_a_call_are_gone_at_the_next(script: Caller) -> None:
    write = """
        import os, tempfile
        def main(value):
            os.makedirs("a/b")
            open("a/b/file", "w").close()
            os.symlink("/etc", "link")
            os.mkfifo("fifo")
            return tempfile.mkstemp()[1]
        """
    folder = Path(script(write)).parent
    assert script("import os\ndef main(value):\n    return [os.getcwd(), os.listdir()]") == [str(folder), []]
    script("import os, shutil\ndef main(value):\n    shutil.rmtree(os.getcwd())\n    os.chdir('/')")
    assert script("import os\ndef main(value):\n    return os.getcwd()") == str(folder)
    script.hosts.close()
    assert not folder.parent.exists()


def test_dataclasses_work_in_scripts(script: Caller) -> None:
    source = """
        from __future__ import annotations
        import dataclasses, typing
        @dataclasses.dataclass
        class Order:
            total: typing.ClassVar[int] = 1
            items: list[int] = dataclasses.field(default_factory=list)
        def main(value):
            return dataclasses.asdict(Order(value))
        """
    assert script(source, [1]) == {"items": [1]}


# What it leaves behind


def test_a_thread_that_is_left_ends_with_its_process(script: Caller) -> None:
    source = """
        import os, threading, time
        def main(value):
            threading.Thread(target=time.sleep, args=(600,)).start()
            return os.getpid()
        """
    pid = script(source)
    assert all_end([pid])
    assert script(PID) != pid


@pytest.mark.parametrize("session", [False, True])
def test_child_processes_that_are_left_end_with_the_call(script: Caller, session: bool) -> None:
    source = f"""
        import subprocess
        def main(value):
            command = ["sh", "-c", "sleep 601 & echo $!; echo $$; (sleep 603 &); wait"]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session={session})
            return [int(child.stdout.readline()), int(child.stdout.readline())]
        """
    assert all_end(script(source))
    assert script("def main(value):\n    return 1") == 1


def test_a_child_that_has_ended_costs_no_process(script: Caller) -> None:
    pid = script(PID)
    script("import subprocess, time\ndef main(value):\n    subprocess.Popen(['true'])\n    time.sleep(0.2)")
    script("import subprocess\ndef main(value):\n    return subprocess.check_output(['echo', 'a']).decode()")
    assert script(PID) == pid


def test_children_that_keep_forking_are_ended(script: Caller) -> None:
    source = """
        import os, time
        def main(value):
            for _ in range(5):
                if os.fork() == 0:
                    while True:  # each child is replaced by its own child
                        if os.fork():
                            os._exit(0)
                        time.sleep(0.001)
            return os.getpid()
        """
    group = script(source)
    assert comes_true(lambda: not members(group))


def members(group: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_forked_child_that_returns_answers_nobody(script: Caller) -> None:
    source = """
        import os
        def main(value):
            if os.fork() == 0:
                print("child")
                return "child"
            return ["parent", os.wait()[1]]
        """
    assert [script(source) for _ in range(3)] == [["parent", 0]] * 3
    assert script.lines == []


# The pool


def test_sixteen_threads_run_at_the_same_time(script: Caller) -> None:
    source = "import os, time\ndef main(value):\n    time.sleep(0.2)\n    return value"
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: script(source, n, version=f"v{n % 3}"), range(48)))
    assert results == list(range(48))


def test_the_pool_is_bounded_and_the_longest_unused_goes_first() -> None:
    with ScriptHosts(limit=2) as hosts:
        script = Caller(hosts)
        a, b = script(PID, version="a"), script(PID, version="b")
        assert script(PID, version="a") == a
        script(PID, version="c")
        assert all_end([b])
        assert script(PID, version="a") == a


def test_a_call_waits_for_a_place_no_longer_than_it_may() -> None:
    with ScriptHosts(limit=1) as hosts, ThreadPoolExecutor(2) as pool:
        script = Caller(hosts)
        script(PID)
        slow = pool.submit(script, "import time\ndef main(value):\n    time.sleep(0.6)\n    return 'slow'")
        time.sleep(0.1)
        assert script.error(PID, timeout=0.1).type == "timeout"
        assert script("def main(value):\n    return 'after'", timeout=5) == "after"
        assert slow.result() == "slow"


def test_an_unused_process_is_ended_at_the_next_call() -> None:
    with ScriptHosts(idle=0.2) as hosts:
        script = Caller(hosts)
        pid = script(PID)
        time.sleep(0.3)
        assert script(PID) != pid
        assert all_end([pid])


def test_an_unused_process_ends_by_itself_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.scripts.hosts._GRACE", -59.8)
    with ScriptHosts(idle=60) as hosts:
        script = Caller(hosts)
        pid = script(PID)
        assert all_end([pid])
        assert script(PID) != pid


def test_a_killed_zygote_takes_its_hosts_along_and_is_replaced(script: Caller) -> None:
    zygote, idle = script(PARENT), script(PID)
    source = """
        import os, subprocess, time
        def main(value):
            print(os.getpid(), subprocess.Popen(['sleep', '605']).pid)
            time.sleep(600)
        """
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(script.error, source, timeout=60, version="other")
        assert comes_true(lambda: bool(script.lines))
        end(zygote, signal.SIGKILL)
        assert running.result().type == "script_crashed"
        assert "killed together with the process that it came from" in running.result().message
    assert all_end([zygote, idle, *script.lines[0][1].split()])
    assert script(PID) != idle
    assert script(PARENT) != zygote


def test_an_unused_process_ends_with_a_killed_zygote_before_anybody_looks(script: Caller) -> None:
    pid = script(PID)
    end(script(PARENT), signal.SIGKILL)
    assert all_end([pid])


def test_a_zygote_that_does_not_answer_is_replaced(script: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.scripts.zygote._FORK_PATIENCE", 0.5)
    zygote = script(PARENT)
    end(zygote, signal.SIGSTOP)
    assert script("def main(value):\n    return 'works'", version="new") == "works"
    assert all_end([zygote])


WORKER = """
import os, threading
from runner.scripts.hosts import ScriptCall, ScriptHosts
hosts = ScriptHosts()
source = '''
import os, subprocess, time
def main(value):
    child = subprocess.Popen(["sleep", "606"])
    apart = subprocess.Popen(["sleep", "607"], start_new_session=True)
    print(os.getpid(), os.getppid(), child.pid, apart.pid, os.getcwd())
    while value == "loop": pass
    time.sleep(600)
'''
def tell(level, text):
    os.write(1, (text + "\\n").encode())  # in one piece: two threads tell
def call(value):
    call = ScriptCall(version="v", file="x.py", source=source, function="main", input=value)
    hosts.call(call, timeout=600, cancelled=threading.Event(), log=tell)
threads = [threading.Thread(target=call, args=(value,)) for value in ("loop", "sleep")]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_nothing_outlives_a_worker_that_is_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert worker.stdout
    with worker.stdout:
        told = [worker.stdout.readline().split() for _ in range(2)]
        worker.kill()
        worker.wait()
    for *pids, folder in told:
        assert all_end(pids)
        assert comes_true(partial(gone, Path(folder).parent))


def gone(path: Path) -> bool:
    return not path.exists()


def test_folders_that_a_killed_machine_left_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    old, young = tmp_path / "weft-scripts-old", tmp_path / "weft-scripts-young"
    for folder in (old, young):
        (folder / "3").mkdir(parents=True)
    os.utime(old, (time.time() - 3600,) * 2)
    with ScriptHosts() as hosts:
        Caller(hosts)(PID)
        assert not old.exists()
        assert young.exists()


# The node


class Files:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, path: str) -> bytes:
        return self.files[path]


def context(files: dict[str, bytes], lines: list[str]) -> NodeContext:
    return NodeContext(
        run_id="r1",
        path="decide/enrich",
        attempt=1,
        idempotency_key="k",
        remaining=lambda: 10,
        cancelled=threading.Event(),
        log=lambda level, text, **fields: lines.append(f"{level} {text}"),
        assets=Files(files),
        version_id="v1",
    )


def test_the_node_runs_a_file_of_the_version(script: Caller) -> None:
    lines: list[str] = []
    files = {"scripts/a.py": b"\xef\xbb\xbfdef main(value):\n    print('ran')\n    return value['n'] + 1"}
    inputs = {"file": "scripts/a.py", "input": {"n": 1}}
    assert ScriptNode(script.hosts)(context(files, lines), inputs) == 2
    assert lines == ["info ran"]


def test_the_node_runs_code_of_the_pattern(script: Caller) -> None:
    inputs = {"code": "def go(value):\n    return [value]", "function": "go"}
    assert ScriptNode(script.hosts)(context({}, []), inputs) == [None]


def test_the_node_names_its_own_code_in_tracebacks(script: Caller) -> None:
    with pytest.raises(NodeError, match=r"ZeroDivisionError: division by zero \(<code of decide/enrich>:2\)"):
        ScriptNode(script.hosts)(context({}, []), {"code": "def main(value):\n    return 1 / 0"})


def test_the_node_refuses_a_file_that_is_no_text(script: Caller) -> None:
    with pytest.raises(NodeError, match=r"scripts/a.py is not UTF-8 text"):
        ScriptNode(script.hosts)(context({"scripts/a.py": b"\xff"}, []), {"file": "scripts/a.py"})


def test_a_warm_call_is_fast(script: Caller) -> None:
    """0.13 ms where it was measured; ten times that is something broken, not a slow machine."""
    source = "def main(n):\n    return n if n < 2 else main(n - 1) + main(n - 2)"
    times = []
    for _ in range(200):
        began = time.perf_counter()
        assert script(source, 10) == 55
        times.append(time.perf_counter() - began)
    assert sorted(times)[100] < 0.0015, json.dumps(sorted(times)[::20])
