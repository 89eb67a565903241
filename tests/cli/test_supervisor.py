from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import redis
from eventually import eventually

from cli.embedded import postgres, valkey
from cli.restarts import Deaths

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


@dataclass
class Service:
    """The small service of tests/support/supervised.py, seen from outside."""

    folder: Path
    number: int
    kinds: tuple[str, ...]
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        script = ROOT / "tests" / "support" / "supervised.py"
        argv = [
            sys.executable,
            str(script),
            str(self.folder / f"events{self.number}"),
            str(self.data),
            *self.kinds,
        ]
        with (self.folder / f"log{self.number}").open("ab") as log:
            self.process = subprocess.Popen(argv, stderr=log, env=os.environ | {"PYTHONPATH": str(ROOT)})

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        return _matching(self.folder / f"events{self.number}", wanted)

    def log(self, **wanted: Any) -> list[dict[str, Any]]:
        return _matching(self.folder / f"log{self.number}", wanted)

    def ready(self) -> Service:
        kinds = [kind for kind in self.kinds if kind != "services"]
        eventually(lambda: all(self.events(event="start", kind=kind) for kind in kinds), seconds=30)
        return self

    def pid_of(self, process: str) -> int:
        return int(self.log(event="process_started", part=process)[-1]["pid"])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def _matching(path: Path, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    text = path.read_text() if path.exists() else ""
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [line for line in lines if wanted.items() <= line.items()]


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    """`start("web", "worker")` runs them until the test ends. PostgreSQL's own user can enter the folder."""
    folder = Path(tempfile.mkdtemp(prefix="weft-tests-"))
    folder.chmod(0o711)
    services: list[Service] = []

    def start(*kinds: str) -> Service:
        services.append(Service(folder, len(services), kinds))
        return services[-1]

    yield start
    for service in services:
        service.process.kill()
        service.process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if runs(pid)]


def runs(pid: int) -> bool:
    """Whether it still does: one that only waits for its exit code to be read does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [found for child in map(int, children) for found in (child, *descendants(child))]


def test_a_killed_worker_is_replaced_at_once_by_one_that_knows_its_id(start: Callable[..., Service]) -> None:
    service = start("worker").ready()
    first = service.events(event="start")[0]
    assert first["replaces"] == []
    killed = time.monotonic()
    os.kill(first["pid"], signal.SIGKILL)
    second = eventually(lambda: service.events(event="start")[1:])[0]
    assert second["replaces"] == [first["worker_id"]]
    assert second["worker_id"] != first["worker_id"]
    assert second["at"] - killed < 0.5  # a loaded machine; it takes about 10 ms
    os.kill(second["pid"], signal.SIGKILL)  # before it has lived a second: nobody knows what it has freed
    third = eventually(lambda: service.events(event="start")[2:])[0]
    assert third["replaces"] == [first["worker_id"], second["worker_id"]]


def test_what_dies_again_and_again_is_started_ever_more_rarely(start: Callable[..., Service]) -> None:
    service = start("crashing").ready()
    died = eventually(lambda: service.log(event="process_died", part="crashing")[3:])
    assert died[0]["end"] == "exit code 0"
    delays = [line["restart_in"] for line in service.log(event="process_died")]
    assert delays[:4] == [0.0, 0.1, 0.2, 0.4]


def test_the_record_of_deaths_forgets_who_lived_long_enough() -> None:
    deaths = Deaths().and_now("a", lived=60.0)
    assert (deaths.delay, deaths.owed) == (0.0, ("a",))
    deaths = deaths.and_now("b", lived=0.2)
    assert (deaths.delay, deaths.owed) == (0.1, ("a", "b"))
    deaths = deaths.and_now("c", lived=2.0)  # long enough to have freed the runs of a and b
    assert (deaths.delay, deaths.owed) == (0.2, ("c",))
    for _ in range(50):
        deaths = deaths.and_now("d", lived=0.0)
    assert deaths.delay == 5.0
    assert deaths.and_now("e", lived=5.0).delay == 0.0


def test_a_part_has_none_of_the_supervisors_descriptors_and_a_group_of_its_own(
    start: Callable[..., Service],
) -> None:
    service = start("web", "worker").ready()
    for line in service.events(event="start"):
        kept = [name for name in line["descriptors"] if "/data/lock" in name or "anon_inode" in name]
        assert kept == []
        assert not [name for name in line["descriptors"] if name.startswith("socket:")]
        assert line["group"] == line["pid"]


def test_a_part_s_environment_is_closed_to_scripts_of_the_same_user(start: Callable[..., Service]) -> None:
    service = start("worker").ready()
    assert [line["private"] for line in service.events(event="start")] == [True]


def test_stopping_goes_in_order(start: Callable[..., Service]) -> None:
    service = start("services", "web", "worker", "controller").ready()
    assert service.stop() == 0
    ended = [line["part"] for line in service.log(event="process_ended")]
    assert sorted(ended[:2]) == ["controller", "web"]
    assert ended[2:] == ["worker", "valkey", "postgresql"]
    assert {line["end"] for line in service.log(event="process_ended")} == {"exit code 0"}
    assert not (service.data / "postgresql" / "postmaster.pid").exists()


def test_being_asked_twice_kills_at_once(start: Callable[..., Service]) -> None:
    service = start("stubborn", "worker").ready()
    service.process.send_signal(signal.SIGINT)
    eventually(lambda: not service.events(event="stop") and service.process.poll() is None)
    time.sleep(0.2)
    assert service.process.poll() is None
    service.process.send_signal(signal.SIGINT)
    service.process.wait(2)
    assert service.log(event="process_ended", part="stubborn")[0]["end"] == "SIGKILL"


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(start: Callable[..., Service]) -> None:
    service = start("services", "web", "worker", "controller").ready()
    pids = descendants(service.process.pid)
    assert len(pids) >= 5
    service.process.kill()
    service.process.wait()
    again = start("services", "web")  # at once: it waits for the database that is still shutting down
    eventually(lambda: not alive(pids), seconds=2.0)
    again.ready()
    with psycopg.connect(postgres.running_url(again.data) or "") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert again.stop() == 0


def test_after_a_crash_of_everything_the_next_worker_frees_the_runs_of_those_before(
    start: Callable[..., Service],
) -> None:
    service = start("worker").ready()
    [first] = service.events(event="start")
    service.process.kill()
    service.process.wait()
    again = start("worker").ready()
    [second] = again.events(event="start")
    assert second["replaces"] == [first["worker_id"]]
    assert again.stop() == 0
    [third] = start("worker").ready().events(event="start")
    assert third["replaces"] == []


def test_killed_servers_come_back_at_the_same_address(start: Callable[..., Service]) -> None:
    service = start("services", "web").ready()
    database_url, redis_url = postgres.running_url(service.data), valkey.running_url(service.data)
    assert database_url
    assert redis_url
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    for name in ("postgresql", "valkey"):
        os.kill(service.pid_of(name), signal.SIGKILL)

    def back() -> bool:
        try:
            with psycopg.connect(database_url) as connection, redis.Redis.from_url(redis_url) as client:
                return client.ping() and connection.execute("SELECT number FROM kept").fetchone() == (7,)
        except (psycopg.OperationalError, redis.ConnectionError):
            return False

    eventually(back, seconds=20)
    assert {line["part"] for line in service.log(event="process_died", end="SIGKILL")} == {
        "postgresql",
        "valkey",
    }
    assert service.stop() == 0


def test_a_crash_of_the_machine_leaves_nothing_that_blocks_the_next_start(
    start: Callable[..., Service],
) -> None:
    service = start("services", "web").ready()
    for pid in descendants(service.process.pid):
        os.kill(pid, signal.SIGKILL)
    service.process.kill()
    service.process.wait()
    stale = service.data / "postgresql" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{service.data}/postgresql\n1\n5432\n/nowhere\n\n0 0\nready\n")
    assert start("services", "web").ready().stop() == 0


def test_a_second_supervisor_on_the_same_folder_is_refused(start: Callable[..., Service]) -> None:
    first = start("web").ready()
    second = start("web")
    assert second.process.wait(10) == 1
    said = (second.folder / "log1").read_text()
    assert f"already runs on {first.data} (pid {first.process.pid})" in said
