"""`weft up` as people run it: comes up, takes blows, goes down."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from weft_command import WEFT, environment, weft

from cli.listener import listen


class Up:
    """One `weft up` on a folder, ready."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.log = folder / f"log-{time.monotonic_ns()}"
        began = time.monotonic()
        with self.log.open("wb") as log:
            argv = [*WEFT, "up", "--data", str(self.data), "--port", "0", "--workers", "2"]
            self.process = subprocess.Popen(
                argv, env=environment(), stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.welcome = ""
        while "Ctrl-C" not in self.welcome and (line := self.process.stdout.readline()):
            self.welcome += line
        self.took = time.monotonic() - began
        found = re.search(r"Weft is up at http://(\S+), after", self.welcome)
        assert found, f"it said {self.welcome!r} and {self.log.read_text()}"
        self.address = found[1]

    def get(self, path: str) -> int:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def pid_of(self, part: str) -> int:
        return next(
            line["pid"]
            for line in reversed([json.loads(line) for line in self.log.read_text().splitlines()])
            if (line["event"], line.get("part")) == ("process_started", part)
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.close()

    def close(self) -> int:
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(30)


@pytest.fixture
def up() -> Iterator[Callable[[], Up]]:
    folder = Path(tempfile.mkdtemp(prefix="weft-tests-"))
    folder.chmod(0o711)
    started: list[Up] = []

    def start() -> Up:
        started.append(Up(folder))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.close()
    shutil.rmtree(folder, ignore_errors=True)


def in_data_folder(data: Path) -> list[str]:
    """The command lines of the processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if str(data) in command and int(process.name) != os.getpid():
            found.append(command)
    return found


def test_it_comes_up_well_and_goes_down_without_a_trace(up: Callable[[], Up]) -> None:
    service = up()
    assert service.get("/readyz") == 200
    assert f"$(cat {service.data}/admin-token)@{service.address}/git/default.git" in service.welcome
    assert (service.data / "admin-token").read_text().strip() not in service.welcome + service.log.read_text()
    doctor = weft("doctor", "--data", str(service.data), "--json")
    said = json.loads(doctor.stdout)
    assert doctor.returncode == 0, said
    assert {"database", "migrations", "clock", "broker"} <= {check["name"] for check in said["checks"]}
    second = weft("up", "--data", str(service.data), "--port", "0")
    assert second.returncode == 1
    assert f"already runs on {service.data} (pid {service.process.pid})" in second.stderr
    assert service.stop() == 0
    assert in_data_folder(service.data) == []
    assert not (service.data / "url").exists()


@pytest.mark.chaos
def test_a_web_process_that_dies_refuses_no_connection(up: Callable[[], Up]) -> None:
    service = up()
    for _ in range(3):
        os.kill(service.pid_of("web"), signal.SIGKILL)
        # The kernel keeps the connection until the next web process takes it.
        assert service.get("/healthz") == 200


@pytest.mark.chaos
def test_it_comes_back_after_everything_was_killed(up: Callable[[], Up]) -> None:
    first = up()
    token = (first.data / "admin-token").read_text()
    first.process.kill()
    first.close()
    again = up()
    assert again.get("/readyz") == 200
    assert (again.data / "admin-token").read_text() == token
    assert again.took < 10  # about 1.2 s on an idle machine
    assert again.stop() == 0
    assert in_data_folder(again.data) == []


def test_the_parts_run_alone_on_servers_that_are_there(
    tmp_path: Path, database_url: str, redis_url: str
) -> None:
    servers = {"WEFT_DATABASE_URL": database_url, "WEFT_REDIS_URL": redis_url}
    environ = environment(**servers, WEFT_INSTALLATION_KEY="ab" * 32)
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    commands = (["web", "--port", str(port)], ["worker", "--processes", "1"], ["controller"])
    parts = [
        subprocess.Popen([*WEFT, *command, "--data", str(tmp_path)], env=environ, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        deadline = time.monotonic() + 30
        while not (all(_supervises(part.pid) for part in parts) and _ready(f"127.0.0.1:{port}")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        for part in parts:
            part.send_signal(signal.SIGTERM)
        codes = [part.wait(30) for part in parts]
    assert codes == [0, 0, 0]


def _supervises(pid: int) -> bool:
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _ready(address: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
