"""Runs of sequential `script` nodes, each journaled before the next begins. `python -m bench.scripts`

The overhead over a computation is the run's whole time less what the scripts themselves measured inside; a plain
loop in this interpreter is shown beside it. Floors: a message over a socket pair and back, and a durable commit,
for each node.
"""

from __future__ import annotations

import statistics
import time

from bench.floors import commits, pipes
from bench.installation import Installation, installation, script_pattern, settle
from bench.load import Caller
from bench.table import milliseconds, show, spread
from store.database import Connection

SOURCE = """\
import time


def fibo(n):
    return n if n < 2 else fibo(n - 1) + fibo(n - 2)


def main(n):
    began = time.perf_counter()
    fibo(n)
    return time.perf_counter() - began
"""
SHORT = [10] * 40
LONG = [33] * 10
WARM = 30
LONG_RUNS = 3


def one(connection: Connection, hook: str) -> tuple[str, float]:
    """The id of a run that was sent and has completed, and when it was sent."""
    caller = Caller(hook)
    at = time.time()
    status, answer = caller.call(hook, b"{}")
    caller.close()
    assert status == 202, answer
    time.sleep(0.05)
    settle(connection)
    return answer["run"]["id"], at


def times(connection: Connection, run: str, sent: float) -> tuple[float, float, float]:
    """Seconds from sent to ended, from claimed to ended, and of the computation as its scripts measured it."""
    sql = """
        SELECT status, extract(epoch FROM ended_at)::float8, extract(epoch FROM started_at)::float8,
               (SELECT sum(output::text::float8) FROM spans WHERE run_id = runs.id AND status = 'completed')
        FROM runs WHERE id = %s
    """
    status, ended, started, inside = connection.execute(sql, [run]).fetchone() or ()
    assert status == "completed", status
    return ended - sent, ended - started, inside


def plain(inputs: list[int]) -> float:
    """Seconds of the same in this interpreter, as a user would loop."""
    module: dict[str, object] = {}
    exec(compile(SOURCE, "fibo.py", "exec"), module)
    main = module["main"]
    assert callable(main)
    began = time.perf_counter()
    for given in inputs:
        main(given)
    return time.perf_counter() - began


def measure(weft: Installation, inputs: list[int], name: str, runs: int) -> list[tuple[float, float, float]]:
    hook = weft.deploy(name, script_pattern(name, "scripts/fibo.py", inputs), fibo=SOURCE)
    with weft.database() as connection:
        return [times(connection, *one(connection, hook)) for _ in range(runs)]


def main() -> None:
    with installation() as weft:
        first, *warm = measure(weft, SHORT, "short", 1 + WARM)
        long = measure(weft, LONG, "long", 1 + LONG_RUNS)[1:]
        with weft.database() as connection:
            call, commit = statistics.median(pipes(400)), statistics.median(commits(connection, 400))
    floor = f"a pipe there and back {milliseconds(call)}, a commit {milliseconds(commit)}: "
    short_floor = f"{floor}{milliseconds(len(SHORT) * (call + commit) + plain(SHORT))}"
    overheads = [whole - inside for _, whole, inside in long]
    looped = statistics.median(plain(LONG) for _ in range(LONG_RUNS))
    computed = statistics.median(inside for _, _, inside in long)
    show(
        "Scripts: sequential nodes in a warm host, each journaled",
        [
            ("40 x fibo(10), claimed → ended", "≤ 20 ms", spread([w for _, w, _ in warm]), short_floor),
            (
                "40 x fibo(10), sent → ended",
                "",
                spread([s for s, _, _ in warm]),
                f"{WARM} runs, one at a time",
            ),
            (
                "40 x fibo(10), the first run",
                "",
                milliseconds(first[1]),
                "starts the process that hosts fork from",
            ),
            (
                "10 x fibo(33), overhead",
                "≤ 10 ms",
                milliseconds(statistics.median(overheads)),
                f"{floor}{milliseconds(len(LONG) * (call + commit))}; p50 of {LONG_RUNS}",
            ),
            ("10 x fibo(33), the computation", "", f"{computed:.2f} s", f"in a plain loop {looped:.2f} s"),
        ],
    )


if __name__ == "__main__":
    main()
