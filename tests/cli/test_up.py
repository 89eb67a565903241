"""What stops `weft up`, in one line each."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from weft_command import weft

from cli.embedded.sockets import find_socket, socket_folder
from cli.errors import StartError
from cli.installation import hold
from cli.listener import is_loopback, listen


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = weft("up", "--data", str(tmp_path), "--port", str(port))
    assert done.returncode == 1
    said = f"weft: Port {port} on 127.0.0.1 is in use: choose another with --port (or WEFT_PORT)"
    assert complaint(done) == said


def test_an_address_that_is_not_here_is_one_line() -> None:
    with pytest.raises(StartError, match=r"192\.0\.2\.1 cannot be opened \(.+\): see --host and --port"):
        listen("192.0.2.1", 0)


def test_a_data_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = weft("up", "--data", str(tmp_path / "file" / "data"))
    assert done.returncode == 1
    assert complaint(done).endswith(
        "cannot be written (Not a directory): choose another with --data (or WEFT_DATA)"
    )


def test_a_data_folder_that_nobody_may_write_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    folder = Path("/sys/weft") if os.geteuid() == 0 else tmp_path  # where root may not write either
    done = weft("up", "--data", str(folder))
    assert done.returncode == 1
    assert re.search(
        r"cannot be written \(.+ not permitted|denied\): choose another with --data", complaint(done)
    )


def test_a_missing_git_is_one_line(tmp_path: Path) -> None:
    done = weft("up", "--data", str(tmp_path / "data"), environ={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert complaint(done) == "weft: git is missing: install it (Debian and Ubuntu: apt install git)"


def test_a_second_one_on_the_same_data_folder_is_one_line(tmp_path: Path) -> None:
    descriptor = hold(tmp_path)
    done = weft("up", "--data", str(tmp_path), "--port", "0")
    os.close(descriptor)
    assert done.returncode == 1
    assert f"already runs on {tmp_path} (pid {os.getpid()}): stop it" in complaint(done)


def test_a_wrong_setting_is_one_line_and_wrong_usage(tmp_path: Path) -> None:
    done = weft("up", "--data", str(tmp_path), environ={"WEFT_THREADS": "many"})
    assert done.returncode == 2
    assert complaint(done) == "weft: WEFT_THREADS=many is wrong: it takes a number from 1 to 256, such as 16"


def test_a_part_alone_says_which_server_it_lacks(tmp_path: Path) -> None:
    done = weft("worker", "--data", str(tmp_path))
    assert done.returncode == 1
    assert complaint(done).startswith(f"weft: WEFT_DATABASE_URL is not set and no weft up runs on {tmp_path}")


def test_a_part_alone_says_that_it_lacks_the_key(tmp_path: Path, database_url: str, redis_url: str) -> None:
    servers = {"WEFT_DATABASE_URL": database_url, "WEFT_REDIS_URL": redis_url}
    done = weft("controller", "--data", str(tmp_path), environ=servers)
    assert done.returncode == 1
    assert complaint(done).startswith("weft: WEFT_INSTALLATION_KEY is not set and")


def test_a_database_out_of_reach_is_one_line_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"postgresql://weft:hunter2@127.0.0.1:{nobody.getsockname()[1]}/weft"
        servers = {"WEFT_DATABASE_URL": url, "WEFT_REDIS_URL": "redis://127.0.0.1:1"}
        done = weft("worker", "--data", str(tmp_path), environ=servers | {"WEFT_INSTALLATION_KEY": "ab" * 32})
    assert done.returncode == 1
    assert "hunter2" not in done.stderr
    assert "weft:****@127.0.0.1" in complaint(done)


def test_a_long_path_gets_short_sockets_that_everybody_finds(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 25)
    data.mkdir()
    folder = socket_folder(data)
    try:
        assert socket_folder(data) == folder
        assert folder.stat().st_mode & 0o777 == 0o700
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "valkey.sock"))
        assert find_socket(data, "valkey.sock") == folder / "valkey.sock"
    finally:
        shutil.rmtree(folder)
    again = socket_folder(data)  # as after a restart of the machine, which empties such folders
    assert again.is_dir()
    again.rmdir()


def test_only_loopback_needs_no_tls() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(host) for host in ("0.0.0.0", "192.0.2.1", "weft.example")] == [False] * 3


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another user for PostgreSQL")
def test_a_folder_that_postgresqls_user_cannot_enter_is_one_line() -> None:
    inaccessible = Path("/root") / "weft-test-data"
    if Path("/root").stat().st_mode & 0o001:
        pytest.skip("/root is open to all here")
    try:
        done = weft("up", "--data", str(inaccessible), "--port", "0")
    finally:
        shutil.rmtree(inaccessible, ignore_errors=True)
    assert done.returncode == 1
    assert f"cannot enter {inaccessible}: use --data /var/lib/weft" in complaint(done)
