"""A MariaDB of the session's own, from the Debian package `mariadb-server-core`: without it the tests fail."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"


@dataclass(frozen=True, kw_only=True)
class MariaDB:
    """`socket` is for the tests; nodes come through `port`, as `weft` with `password`, to the database `shop`."""

    port: int
    socket: Path
    password: str

    def connect(self) -> pymysql.Connection[Any]:
        return pymysql.connect(unix_socket=str(self.socket), user=_user(), autocommit=True)


@contextmanager
def mariadb(certificate: Path) -> Iterator[MariaDB]:
    folder = Path(tempfile.mkdtemp(prefix="weft-mariadb-"))
    data, listening, port = folder / "data", folder / "s", _free_port()
    common = ["--no-defaults", f"--datadir={data}", f"--user={_user()}"]
    data.mkdir()
    _bootstrap([_program("mariadbd"), *common, "--bootstrap"])
    (folder / "both.pem").write_bytes(certificate.read_bytes())
    command = [
        _program("mariadbd"), *common, f"--socket={listening}", f"--port={port}", "--bind-address=127.0.0.1",
        f"--ssl-cert={folder / 'both.pem'}", f"--ssl-key={folder / 'both.pem'}",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", f"--log-error={folder / 'log'}",
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made = MariaDB(port=port, socket=listening, password="hunter2")
    try:
        _await(made, server, folder / "log")
        with made.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
            cursor.execute("CREATE USER weft@localhost IDENTIFIED BY 'hunter2'")
            cursor.execute("GRANT ALL ON shop.* TO weft@localhost")
        yield made
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _await(made: MariaDB, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.socket(socket.AF_UNIX) as trial:
                trial.connect(str(made.socket))
        except OSError:
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


def _bootstrap(command: list[str]) -> None:
    """What mariadb-install-db does, which needs the package of the clients besides."""
    files = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
    tables = "".join((Path("/usr/share/mysql") / file).read_text() for file in files)
    head = f"CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket='{_user()}';\n"
    done = subprocess.run(command, input=head + tables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def _program(name: str) -> str:
    found = shutil.which(name, path=_PATH)
    assert found, f"{name} is missing: apt-get install mariadb-server-core"
    return found


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
